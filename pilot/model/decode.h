// From decoded manifests to the model: every name resolved, nothing else judged (validate/ does
// that). Pure functions; any thread. What cannot be used at all (a Service without ports, a Pod
// without an address) gives null or an empty list.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/model/endpoint_list.h"
#include "pilot/model/meta.h"
#include "pilot/model/rules.h"
#include "pilot/model/service.h"

namespace meltemi::kube::core::v1 {
class Endpoints;
class Pod;
class Service;
}  // namespace meltemi::kube::core::v1
namespace meltemi::kube::discovery::v1 {
class EndpointSlice;
}  // namespace meltemi::kube::discovery::v1
namespace istio::networking::v1alpha3 {
class ServiceEntry;
class WorkloadEntry;
}  // namespace istio::networking::v1alpha3

namespace meltemi::pilot {

ServicePtr DecodeService(const ObjectMeta& meta, const kube::core::v1::Service& service,
                         absl::string_view domain);
// One service per host. Endpoints written in the entry become `Service::declared`.
std::vector<ServicePtr> DecodeServiceEntry(const ObjectMeta& meta,
                                           const networking::ServiceEntry& spec);
WorkloadPtr DecodePod(const ObjectMeta& meta, const kube::core::v1::Pod& pod);
WorkloadPtr DecodeWorkloadEntry(const ObjectMeta& meta, const networking::WorkloadEntry& spec);
EndpointListPtr DecodeEndpoints(const ObjectMeta& meta, const kube::core::v1::Endpoints& endpoints);
EndpointListPtr DecodeEndpointSlice(const ObjectMeta& meta,
                                    const kube::discovery::v1::EndpointSlice& slice);

VirtualServicePtr DecodeVirtualService(const ObjectMeta& meta,
                                       const networking::VirtualService& spec,
                                       absl::string_view domain);
DestinationRulePtr DecodeDestinationRule(const ObjectMeta& meta,
                                         const networking::DestinationRule& spec,
                                         absl::string_view domain);
GatewayPtr DecodeGateway(const ObjectMeta& meta, const networking::Gateway& spec);
SidecarPtr DecodeSidecar(const ObjectMeta& meta, const networking::Sidecar& spec);

}  // namespace meltemi::pilot
