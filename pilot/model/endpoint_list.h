// What an Endpoints or EndpointSlice object says, and how services, such lists and workloads are
// joined to endpoints. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "pilot/model/meta.h"
#include "pilot/model/service.h"

namespace meltemi::pilot {

struct EndpointList {
  struct Address {
    std::string ip;
    bool ready = true;
  };
  struct Port {
    std::string name;
    uint32_t number = 0;
  };
  // Every address serves every port of its group.
  struct Group {
    std::vector<Address> addresses;
    std::vector<Port> ports;
  };

  ObjectMeta meta;
  std::string service;  // name of the Service, in meta.ns
  bool is_slice = false;
  std::vector<Group> groups;
};
using EndpointListPtr = std::shared_ptr<const EndpointList>;

// Finds workloads by labels and by address.
class WorkloadIndex {
 public:
  // What did not change is shared with `previous` (may be null), namespace by namespace.
  explicit WorkloadIndex(const std::vector<WorkloadPtr>& workloads,
                         const WorkloadIndex* previous = nullptr);

  // Workloads of `ns` that carry all labels of `selector`, in index order; none if it is empty.
  std::vector<WorkloadPtr> Select(const std::string& ns, const Labels& selector) const;
  WorkloadPtr FindByAddress(const std::string& address) const;
  // Of that namespace alone.
  WorkloadPtr FindByAddressIn(const std::string& ns, const std::string& address) const;
  // True if `other` has the same workloads in `ns`.
  bool SameIn(const std::string& ns, const WorkloadIndex& other) const;

 private:
  struct OfNamespace {
    std::vector<WorkloadPtr> all;
    absl::flat_hash_map<std::string, std::vector<WorkloadPtr>> by_label;  // by "key=value"
    absl::flat_hash_map<std::string, WorkloadPtr> by_address;
  };
  using OfNamespacePtr = std::shared_ptr<const OfNamespace>;

  // Null: it has none.
  const OfNamespace* Find(const std::string& ns) const;

  absl::flat_hash_map<std::string, OfNamespacePtr> namespaces_;
  absl::flat_hash_map<std::string, WorkloadPtr> by_address_;
};

// The port on which `workload` serves `port`; 0 where a named target is not there.
uint32_t TargetOnWorkload(const ServicePort& port, const Workload& workload);

// "NS/ACCOUNT" of all endpoints that have one, sorted, unique.
std::vector<std::string> AccountsOf(const std::vector<Endpoint>& endpoints);

// The endpoints of `service`. `lists` are those that name the service: slices are preferred over
// Endpoints objects of the same service. Pods are chosen by the selector only when there is no
// list; WorkloadEntries always, as in Istio.
// `selected`: the workloads that the selector chooses (empty without a selector). `elsewhere` (may
// be null) is set when a list has an address that is of no workload of the service's namespace.
ServiceEndpointsPtr JoinEndpoints(const Service& service, const std::vector<EndpointListPtr>& lists,
                                  const std::vector<WorkloadPtr>& selected,
                                  const WorkloadIndex& workloads, bool* elsewhere = nullptr);

}  // namespace meltemi::pilot
