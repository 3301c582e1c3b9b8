// A snapshot: everything that pilot knows at one moment, immutable and indexed. Parts that did not
// change are shared with the snapshot before. Any thread may read.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "pilot/model/authorization.h"
#include "pilot/model/endpoint_list.h"
#include "pilot/model/peer_authentication.h"
#include "pilot/model/rules.h"
#include "pilot/model/secret.h"
#include "pilot/model/service.h"

namespace meltemi::pilot {

enum class OutboundPolicy : uint8_t { kAllowAny, kRegistryOnly };
enum class SimpleBalancer : uint8_t { kLeastRequest, kRoundRobin, kRandom };

// Istio's mesh configuration, as far as we have it. Constant while pilot runs.
struct MeshSettings {
  std::string domain = "cluster.local";
  std::string trust_domain = "cluster.local";
  std::string root_namespace = "istio-system";
  OutboundPolicy outbound_policy = OutboundPolicy::kAllowAny;
  SimpleBalancer default_balancer = SimpleBalancer::kLeastRequest;
  uint32_t connect_timeout_ms = 10'000;
  // How long a proxy waits for a client's first bytes where no protocol is declared; 0: for ever.
  uint32_t protocol_detection_timeout_ms = 0;
  std::string access_log_path;    // empty: no access log
  std::string access_log_format;  // empty: Envoy's default
  bool access_log_json = false;
};

// What a table is built from, decoded.
struct ObjectSet {
  std::vector<ServicePtr> services;
  std::vector<WorkloadPtr> workloads;
  std::vector<EndpointListPtr> endpoint_lists;
  std::vector<VirtualServicePtr> virtual_services;
  std::vector<DestinationRulePtr> destination_rules;
  std::vector<GatewayPtr> gateways;
  std::vector<SidecarPtr> sidecars;
  std::vector<PeerAuthenticationPtr> peer_authentications;
  std::vector<AuthorizationPolicyPtr> authorization_policies;
  std::vector<CredentialPtr> credentials;
};

class ServiceTable {
 public:
  // Sorts by creation, then host, so that every reader sees one order.
  explicit ServiceTable(std::vector<ServicePtr> services);

  const std::vector<ServicePtr>& all() const { return all_; }
  // The service of that exact name; where several namespaces declare it: `ns` first, then the
  // oldest that is visible in `ns`. Null if there is none.
  ServicePtr Find(absl::string_view host, absl::string_view ns) const;
  // True if a service has that name or a wildcard that covers it.
  bool Knows(absl::string_view host) const;
  // Services of `ns` with a selector.
  const std::vector<ServicePtr>& SelectingIn(absl::string_view ns) const;

 private:
  std::vector<ServicePtr> all_;
  absl::flat_hash_map<std::string, std::vector<ServicePtr>> by_host_;
  absl::flat_hash_map<std::string, std::vector<ServicePtr>> selecting_;
  std::vector<std::string> wildcards_;
};

class EndpointTable {
 public:
  struct Instance {
    std::string host;
    uint32_t service_port = 0;
    uint32_t port = 0;
    bool operator==(const Instance&) const = default;
  };

  // What `previous` (may be null) was built from, and built with it, is shared where it is the
  // same; so that the next table costs little more than what has changed.
  EndpointTable(const ObjectSet& objects, const ServiceTable& services,
                const std::shared_ptr<const WorkloadIndex>& workloads,
                const EndpointTable* previous);

  // Never null: an unknown host has an empty list.
  ServiceEndpointsPtr Find(const Service& service) const;
  // What runs at this address; empty if nothing does.
  const std::vector<Instance>& At(absl::string_view address) const;
  bool SameAs(const EndpointTable& other) const { return by_service_ == other.by_service_; }
  // Hosts whose endpoints are others than in the table before; sorted, unique.
  const std::vector<std::string>& changed_hosts() const { return changed_hosts_; }
  const std::map<std::string, ServiceEndpointsPtr>& all() const { return by_service_; }

 private:
  // What a service's endpoints were joined from: the same inputs give the same endpoints.
  struct Inputs {
    ServicePtr service;
    std::vector<EndpointListPtr> lists;
    std::vector<WorkloadPtr> selected;
    bool elsewhere = false;  // also from workloads of other namespaces
  };
  using InputsPtr = std::shared_ptr<const Inputs>;
  using ListsByService = absl::flat_hash_map<std::string, std::vector<EndpointListPtr>>;
  using Instances = std::shared_ptr<const std::vector<Instance>>;

  // Sets a service's inputs and endpoints.
  void Add(const ServicePtr& service, const ListsByService& lists, const EndpointTable* previous);
  void NoteChanges(const EndpointTable& previous);
  void IndexAddresses(const EndpointTable* previous);
  void AddInstances(const ServiceEndpoints& list);
  void RemoveInstances(const ServiceEndpoints& list);

  std::shared_ptr<const WorkloadIndex> workloads_;
  std::map<std::string, ServiceEndpointsPtr> by_service_;  // by "NS/HOST"
  absl::flat_hash_map<std::string, InputsPtr> inputs_;     // likewise
  std::vector<std::string> changed_hosts_;
  absl::flat_hash_map<std::string, Instances> by_address_;
};

class RuleTable {
 public:
  // `destination_rules` of one namespace and host are merged: the oldest gives the traffic policy,
  // each adds its subsets.
  RuleTable(std::vector<VirtualServicePtr> virtual_services,
            std::vector<DestinationRulePtr> destination_rules, std::vector<GatewayPtr> gateways,
            std::vector<SidecarPtr> sidecars);

  // All lists are in order of creation.
  const std::vector<VirtualServicePtr>& virtual_services() const { return virtual_services_; }
  const std::vector<GatewayPtr>& gateways() const { return gateways_; }
  const std::vector<SidecarPtr>& sidecars() const { return sidecars_; }
  // Merged, by namespace and host.
  std::vector<DestinationRulePtr> destination_rules() const;

  // The rule that clients of `client_ns` with `labels` use for `host`: of the client's namespace,
  // else of the service's, else of the root namespace; in each the most specific host. Null: none.
  DestinationRulePtr FindRule(absl::string_view host, absl::string_view client_ns,
                              absl::string_view service_ns, absl::string_view root_ns,
                              const Labels& labels) const;
  // The Sidecar for a workload: one that selects it, else the namespace's, else the root's. Null:
  // none.
  SidecarPtr FindSidecar(absl::string_view ns, absl::string_view root_ns,
                         const Labels& labels) const;
  // Keys of the labels by which any rule tells clients apart.
  const std::set<std::string>& client_label_keys() const { return client_label_keys_; }

 private:
  // Of one host: those with a workload selector first.
  using HostRules = std::vector<DestinationRulePtr>;
  struct NamespaceRules {
    std::map<std::string, HostRules> by_host;
    std::vector<std::string> wildcards;  // keys of `by_host`, most specific first
  };

  void MergeRules(std::vector<DestinationRulePtr> destination_rules);
  void CollectLabelKeys();

  std::vector<VirtualServicePtr> virtual_services_;
  std::map<std::string, NamespaceRules> rules_;  // by namespace
  std::vector<GatewayPtr> gateways_;
  std::vector<SidecarPtr> sidecars_;
  std::set<std::string> client_label_keys_;
};

// A rule that is not, or no longer, in force as written.
struct RuleNote {
  enum class Kind : uint8_t { kHeldBack, kSubsetRetained };
  Kind kind = Kind::kHeldBack;
  std::string object;   // "VirtualService/NS/NAME" or "DestinationRule/NS/NAME"
  std::string message;  // what, why, and what mends it
  bool operator==(const RuleNote&) const = default;
};

struct Snapshot {
  uint64_t version = 0;         // grows with every snapshot
  uint64_t config_version = 0;  // grows when anything but endpoints and workloads changed
  std::shared_ptr<const MeshSettings> mesh;
  std::shared_ptr<const ServiceTable> services;
  std::shared_ptr<const RuleTable> rules;
  std::shared_ptr<const WorkloadIndex> workloads;
  std::shared_ptr<const EndpointTable> endpoints;
  std::shared_ptr<const PeerAuthenticationTable> peer_authentications;
  std::shared_ptr<const AuthorizationTable> authorization;
  std::shared_ptr<const CredentialTable> credentials;
  std::vector<RuleNote> notes;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

}  // namespace meltemi::pilot
