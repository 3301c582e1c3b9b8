// The rules of each kind. All append to the report; all start at the path that they are given.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "pilot/validate/report.h"

namespace istio::networking::v1alpha3 {
class ConnectionPoolSettings;
class Destination;
class DestinationRule;
class Gateway;
class HTTPMatchRequest;
class HTTPRoute;
class ServerTLSSettings;
class ServiceEntry;
class Sidecar;
class StringMatch;
class TrafficPolicy;
class VirtualService;
class WorkloadEntry;
}  // namespace istio::networking::v1alpha3

namespace istio::security::v1beta1 {
class AuthorizationPolicy;
class PeerAuthentication;
}  // namespace istio::security::v1beta1
namespace meltemi::kube::core::v1 {
class Endpoints;
class Pod;
class Secret;
class Service;
}  // namespace meltemi::kube::core::v1
namespace meltemi::kube::discovery::v1 {
class EndpointSlice;
}  // namespace meltemi::kube::discovery::v1

namespace meltemi::pilot {

namespace networking = ::istio::networking::v1alpha3;

void ValidateVirtualService(const networking::VirtualService& spec, Report* report);
void ValidateDestinationRule(const networking::DestinationRule& spec, Report* report);
void ValidateGateway(const networking::Gateway& spec, Report* report);
void ValidateServiceEntry(const networking::ServiceEntry& spec, Report* report);
void ValidateWorkloadEntry(const networking::WorkloadEntry& spec, Report* report);
void ValidateSidecar(const networking::Sidecar& spec, Report* report);
void ValidateAuthorizationPolicy(const istio::security::v1beta1::AuthorizationPolicy& spec,
                                 Report* report);
void ValidatePeerAuthentication(const istio::security::v1beta1::PeerAuthentication& spec,
                                Report* report);
void ValidateSecret(const kube::core::v1::Secret& secret, Report* report);
void ValidateService(const kube::core::v1::Service& service, Report* report);
void ValidateEndpoints(const kube::core::v1::Endpoints& endpoints, Report* report);
void ValidateEndpointSlice(const kube::discovery::v1::EndpointSlice& slice, Report* report);

// Parts that several kinds share.
void ValidateHttpRoute(const networking::HTTPRoute& route, bool is_delegate, const Path& path,
                       Report* report);
void ValidateDestination(const networking::Destination& destination, const Path& path,
                         Report* report);
void ValidateStringMatch(const networking::StringMatch& match, const Path& path, Report* report);
void ValidateTrafficPolicy(const networking::TrafficPolicy& policy, const Path& path,
                           Report* report);
void ValidateConnectionPool(const networking::ConnectionPoolSettings& pool, const Path& path,
                            Report* report);
void ValidateServerTls(const networking::ServerTLSSettings& tls, const Path& path, Report* report);

// "mesh", "name", "namespace/name".
std::string WhyNoGatewayName(absl::string_view name);
// "ns/host" of Sidecars (is_gateway false) and Gateways (where "ns/" may be left out).
std::string WhyNoScopedHost(absl::string_view text, bool is_gateway);

// Keys and values of a map of labels.
template <typename Map>
void ValidateLabels(const Map& labels, const Path& path, Report* report);
// A repeated field of namespaces: ".", "*", "~" (where `none_allowed`), names.
template <typename List>
void ValidateExportTo(const List& words, bool none_allowed, const Path& path, Report* report);

// Which matches and rules can never be reached (IST0130, IST0131).
void AnalyzeReachability(const networking::VirtualService& spec, Report* report);

}  // namespace meltemi::pilot
