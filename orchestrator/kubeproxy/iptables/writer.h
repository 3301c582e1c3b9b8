// Services as chains of iptables, in the structure that kube-proxy gives them, written by
// iptables-restore --noflush: chains of others are not looked at.
//
// Slower than nftables by its nature: every change costs the tool a look at the whole table.
//
// Threads: see rules_writer.h. Source: iptables-restore(8); pkg/proxy/iptables.
#pragma once

#include <string>
#include <vector>

#include "orchestrator/kubeproxy/iptables/fragment.h"
#include "orchestrator/kubeproxy/rules_writer.h"

namespace meltemi::kubeproxy::iptables {

class Writer final : public RulesWriter {
 public:
  // `owner`: a number that no other writer has, by which it knows its rules again.
  explicit Writer(uint32_t owner) : owner_(owner) {}

  absl::Status Replace(const RulesOptions& options,
                       const std::vector<ServiceRulesPtr>& services) override;
  absl::Status Apply(const std::vector<ServiceChange>& changes) override;
  absl::StatusOr<bool> Intact() override;

 private:
  absl::Status RemoveLeftovers(const std::vector<ServiceRulesPtr>& services) const;

  const uint32_t owner_;
  RulesOptions options_;
};

}  // namespace meltemi::kubeproxy::iptables
