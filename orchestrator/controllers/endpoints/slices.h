// Which EndpointSlices a Service should have, and the writes that lead from those that it has to
// them. Pure functions.
//
// Threads: functions without state. Source: the rules of Kubernetes' endpointslice reconciler: few
// writes, not few slices.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "kube/informer/informer.h"
#include "orchestrator/controllers/endpoints/backends.h"

namespace meltemi::controllers {

inline constexpr char kServiceNameLabel[] = "kubernetes.io/service-name";
inline constexpr char kManagedByLabel[] = "endpointslice.kubernetes.io/managed-by";
inline constexpr char kManagedBy[] = "endpointslice-controller.k8s.io";
constexpr int kEndpointsPerSlice = 100;

using SlicePtr = std::shared_ptr<const kube::discovery::v1::EndpointSlice>;

// What makes two lists of ports the same, whatever their order.
std::string PortsKey(
    const google::protobuf::RepeatedPtrField<kube::discovery::v1::EndpointPort>& ports);
// As generateName: leaves room for the generated end.
std::string SliceNamePrefix(const std::string& service);

// Endpoints that are reached at the same ports.
struct PortGroup {
  std::vector<kube::discovery::v1::EndpointPort> ports;
  std::vector<kube::discovery::v1::Endpoint> endpoints;
};

struct Backends {
  std::vector<PortGroup> groups;  // in an order that only the pods decide
  // Pods whose node is not known: they are left out until it is.
  std::vector<std::string> missing_nodes;
};

// Of one address family.
Backends GroupBackends(const kube::core::v1::Service& service, const std::vector<PodPtr>& pods,
                       absl::string_view family, const kube::Lister<kube::core::v1::Node>& nodes);

struct SlicePlan {
  std::vector<kube::discovery::v1::EndpointSlice> create, update;
  std::vector<SlicePtr> remove;
};

// `existing`: the controller's own slices of the service and family. Slices are changed in place;
// what is new fills the changed ones first, then the fullest ones with room, then new slices. A
// service without endpoints keeps an empty one.
SlicePlan PlanSlices(const kube::core::v1::Service& service, absl::string_view family,
                     std::vector<PortGroup> groups, const std::vector<SlicePtr>& existing);

}  // namespace meltemi::controllers
