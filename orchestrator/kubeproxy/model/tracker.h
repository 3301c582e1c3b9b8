// Services and slices as they come and go, and what that changes for rules: work is done for the
// services that changed alone.
//
// An address and port that two services want (external IPs are not checked by anybody) goes to one
// of them: to the one whose cluster IP it is, else to the one whose name sorts first.
//
// Threads: one at a time.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "kube/names/names.h"
#include "orchestrator/kubeproxy/model/facts.h"
#include "orchestrator/kubeproxy/model/rules.h"

namespace meltemi::kubeproxy {

class Tracker {
 public:
  // nullopt: it is gone, or none for us.
  void SetService(const kube::NamespacedName& key, std::optional<ServiceFacts> facts);
  // `slice`: its name in the service's namespace.
  void SetSlice(const kube::NamespacedName& service, const std::string& slice,
                std::optional<SliceFacts> facts);

  // What has changed since the last time; sorted by name, each service once.
  std::vector<ServiceChange> Take();
  // As of the last Take; sorted by name.
  std::vector<ServiceRulesPtr> All() const;

 private:
  // An address of the node, or of a service, where one service is served. Address 0: node ports.
  struct Place {
    Ipv4 ip = 0;
    Protocol protocol = Protocol::kTcp;
    uint16_t port = 0;

    auto operator<=>(const Place&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Place& p) {
      return H::combine(std::move(h), p.ip, p.protocol, p.port);
    }
  };
  struct Claim {
    bool cluster_ip = false;
    const kube::NamespacedName* service = nullptr;  // a key of services_
  };
  struct Entry {
    std::optional<ServiceFacts> facts;
    std::map<std::string, SliceFacts> slices;
    std::vector<Place> claims;  // sorted
    ServiceRulesPtr rules;
  };
  using Entries = std::map<kube::NamespacedName, Entry>;

  static bool Before(const Claim& a, const Claim& b);
  static std::vector<Place> PlacesOf(const ServiceFacts& facts);
  void UpdateClaims(Entries::value_type& entry);
  void AddClaim(const Place& place, const Claim& claim);
  void RemoveClaim(const Place& place, const kube::NamespacedName& service);
  bool Owns(const Place& place, const kube::NamespacedName& service) const;
  ServiceRulesPtr Resolve(const Entries::value_type& entry) const;
  PortRules ResolvePort(const Entries::value_type& entry, const PortFacts& port,
                        const std::vector<const SliceFacts*>& slices) const;
  int LocalReady(const Entry& entry) const;

  Entries services_;
  std::set<kube::NamespacedName> dirty_;
  // The first claim of each is served. Nearly all have one.
  absl::flat_hash_map<Place, std::vector<Claim>> claims_;
};

}  // namespace meltemi::kubeproxy
