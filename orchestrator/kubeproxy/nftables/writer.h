// Services as a table of nftables, `ip meltemi-proxy`: one transaction of the nft program for
// everything at the beginning, one for what differs afterwards.
//
// Threads: see rules_writer.h. Source: nft(8); for what happens to which packet, kube-proxy's
// nftables mode (pkg/proxy/nftables/README.md).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "orchestrator/kubeproxy/nftables/fragment.h"
#include "orchestrator/kubeproxy/nftables/transaction.h"
#include "orchestrator/kubeproxy/rules_writer.h"

namespace meltemi::kubeproxy::nftables {

class Writer final : public RulesWriter {
 public:
  // `owner`: a number that no other writer has, by which it knows its table again.
  explicit Writer(uint32_t owner) : owner_(owner) {}

  absl::Status Replace(const RulesOptions& options,
                       const std::vector<ServiceRulesPtr>& services) override;
  absl::Status Apply(const std::vector<ServiceChange>& changes) override;
  absl::StatusOr<bool> Intact() override;

 private:
  void Add(const Fragment& before, const Fragment& after, Transaction& transaction);
  void AddChains(const Fragment& before, const Fragment& after, Transaction& transaction);
  void CountOwn(const Fragment& fragment, int by);
  void AddOwn(Transaction& transaction);
  void DeleteStaleChains();

  const uint32_t owner_;
  RulesOptions options_;
  std::set<SharedChain> shared_;        // that are there
  std::map<Ipv4, int> own_;             // by how many services each is had
  std::map<Ipv4, int> own_change_;      // of the transaction that is being made
  std::set<std::string> stale_chains_;  // empty, to be deleted
};

// The shared chains that pick an endpoint: part of the base table.
std::set<SharedChain> PickChains();
// Without services.
std::string BaseTable(const RulesOptions& options, uint32_t owner);

// Takes the table away; it need not be there. kNotFound: there is no `nft` on this machine.
absl::Status RemoveTable();

}  // namespace meltemi::kubeproxy::nftables
