#include "proxy/config/compile/endpoints.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"

namespace meltemi::proxy {
namespace {

namespace core = envoy::config::core::v3;
using envoy::config::endpoint::v3::ClusterLoadAssignment;
using envoy::config::endpoint::v3::LbEndpoint;
using envoy::config::endpoint::v3::LocalityLbEndpoints;

constexpr uint32_t kPriorityMax = 128;

absl::Status Invalid(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

absl::Status ReadAddress(const core::Address& address, absl::string_view where, bool by_name,
                         EndpointConfig& endpoint) {
  if (address.has_pipe()) {
    ASSIGN_OR_RETURN(endpoint.address,
                     net::Address::Parse(absl::StrCat("unix:", address.pipe().path())));
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(CheckSupported(address, absl::StrCat(where, ".address"),
                                 {"socket_address.protocol", "socket_address.address",
                                  "socket_address.port_value", "socket_address.ipv4_compat"}));
  const core::SocketAddress& socket = address.socket_address();
  if (socket.protocol() != core::SocketAddress::TCP) {
    return Invalid(where, "only TCP addresses are supported");
  }
  if (socket.port_value() == 0 || socket.port_value() > 65535) {
    return Invalid(where, absl::StrCat("port ", socket.port_value(), " is not a port"));
  }
  endpoint.port = static_cast<uint16_t>(socket.port_value());
  if (by_name) {
    if (socket.address().empty()) return Invalid(where, "the address is empty");
    endpoint.dns_name = socket.address();
    return absl::OkStatus();
  }
  auto parsed = net::Address::FromIp(socket.address(), endpoint.port);
  if (!parsed.ok()) return Invalid(where, parsed.status().message());
  endpoint.address = *parsed;
  return absl::OkStatus();
}

absl::Status ReadHealth(core::HealthStatus status, absl::string_view where,
                        EndpointConfig& endpoint) {
  switch (status) {
    case core::UNKNOWN:
    case core::HEALTHY:
      endpoint.health = EndpointHealth::kHealthy;
      return absl::OkStatus();
    case core::UNHEALTHY:
    case core::TIMEOUT:
      endpoint.health = EndpointHealth::kUnhealthy;
      return absl::OkStatus();
    case core::DRAINING:
      endpoint.health = EndpointHealth::kDraining;
      return absl::OkStatus();
    case core::DEGRADED:
      endpoint.health = EndpointHealth::kDegraded;
      return absl::OkStatus();
    default:
      return Invalid(where, "health_status is not a known one");
  }
}

std::string MetadataText(const core::Metadata& metadata, const char* filter, const char* key) {
  const auto found = metadata.filter_metadata().find(filter);
  if (found == metadata.filter_metadata().end()) return "";
  const auto field = found->second.fields().find(key);
  return field == found->second.fields().end() ? "" : field->second.string_value();
}

void ReadTransportLabels(const core::Metadata& metadata, EndpointConfig& endpoint) {
  const auto found = metadata.filter_metadata().find("envoy.transport_socket_match");
  if (found == metadata.filter_metadata().end()) return;
  for (const auto& [key, value] : found->second.fields()) {
    if (!value.has_string_value()) continue;
    if (key == "tlsMode" && value.string_value() == "istio") {
      endpoint.mtls = true;
    } else {
      endpoint.transport_labels.emplace_back(key, value.string_value());
    }
  }
}

absl::Status ReadEndpoint(const LbEndpoint& proto, absl::string_view where, bool by_name,
                          EndpointConfig& endpoint) {
  RETURN_IF_ERROR(CheckSupported(
      proto, where,
      {"endpoint.address", "endpoint.health_check_config.port_value", "endpoint.hostname",
       "health_status", "metadata.**", "load_balancing_weight"}));
  RETURN_IF_ERROR(ReadAddress(proto.endpoint().address(), where, by_name, endpoint));
  RETURN_IF_ERROR(ReadHealth(proto.health_status(), where, endpoint));
  endpoint.hostname = proto.endpoint().hostname();
  const uint32_t check_port = proto.endpoint().health_check_config().port_value();
  if (check_port > 65535) return Invalid(where, "health_check_config.port_value is not a port");
  endpoint.health_check_port = static_cast<uint16_t>(check_port);
  if (proto.has_load_balancing_weight()) {
    endpoint.weight = proto.load_balancing_weight().value();
    if (endpoint.weight == 0) return Invalid(where, "load_balancing_weight must be at least 1");
  }
  endpoint.workload = MetadataText(proto.metadata(), "istio", "workload");
  ReadTransportLabels(proto.metadata(), endpoint);
  return absl::OkStatus();
}

absl::Status ReadLocality(const LocalityLbEndpoints& proto, absl::string_view where, bool by_name,
                          EndpointsConfig& config) {
  RETURN_IF_ERROR(CheckSupported(proto, where,
                                 {"locality.**", "metadata.**", "lb_endpoints",
                                  "load_balancing_weight", "priority", "proximity.**"}));
  if (proto.priority() > kPriorityMax) {
    return Invalid(where, absl::StrCat("priority is above ", kPriorityMax));
  }
  // Exactly: with ten thousand endpoints the slack of growing would be megabytes.
  config.endpoints.reserve(config.endpoints.size() +
                           static_cast<size_t>(proto.lb_endpoints_size()));
  for (int i = 0; i < proto.lb_endpoints_size(); ++i) {
    EndpointConfig endpoint;
    RETURN_IF_ERROR(ReadEndpoint(proto.lb_endpoints(i),
                                 absl::StrCat(where, ".lb_endpoints[", i, "]"), by_name, endpoint));
    endpoint.priority = proto.priority();
    endpoint.region = proto.locality().region();
    endpoint.zone = proto.locality().zone();
    endpoint.sub_zone = proto.locality().sub_zone();
    endpoint.locality_weight = proto.load_balancing_weight().value();
    config.endpoints.push_back(std::move(endpoint));
  }
  return absl::OkStatus();
}

absl::Status ReadPolicy(const ClusterLoadAssignment::Policy& policy, absl::string_view where,
                        EndpointsConfig& config) {
  RETURN_IF_ERROR(CheckSupported(policy, absl::StrCat(where, ": policy"),
                                 {"drop_overloads.**", "overprovisioning_factor"}));
  if (policy.has_overprovisioning_factor()) {
    config.overprovisioning_percent = policy.overprovisioning_factor().value();
    if (config.overprovisioning_percent == 0) {
      return Invalid(where, "policy.overprovisioning_factor must be greater than 0");
    }
  }
  for (const auto& drop : policy.drop_overloads()) {
    const auto& share = drop.drop_percentage();
    uint64_t factor = 10000;
    if (share.denominator() == envoy::type::v3::FractionalPercent::TEN_THOUSAND) factor = 100;
    if (share.denominator() == envoy::type::v3::FractionalPercent::MILLION) factor = 1;
    config.drop_per_million.push_back(
        static_cast<uint32_t>(std::min<uint64_t>(1000000, share.numerator() * factor)));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const EndpointsConfig>> CompileInlineEndpoints(
    const ClusterLoadAssignment& assignment, absl::string_view where, bool by_name) {
  RETURN_IF_ERROR(CheckSupported(assignment, where, {"cluster_name", "endpoints", "policy"}));
  auto config = std::make_shared<EndpointsConfig>();
  config->cluster_name = assignment.cluster_name();
  for (int i = 0; i < assignment.endpoints_size(); ++i) {
    RETURN_IF_ERROR(ReadLocality(assignment.endpoints(i),
                                 absl::StrCat(where, ": endpoints[", i, "]"), by_name, *config));
  }
  RETURN_IF_ERROR(ReadPolicy(assignment.policy(), where, *config));
  config->fingerprint = Fingerprint(assignment);
  return config;
}

absl::StatusOr<std::shared_ptr<const EndpointsConfig>> CompileEndpoints(
    const ClusterLoadAssignment& assignment) {
  if (assignment.cluster_name().empty()) {
    return absl::InvalidArgumentError("a load assignment has no cluster_name");
  }
  return CompileInlineEndpoints(
      assignment, absl::StrCat("endpoints '", assignment.cluster_name(), "'"), /*by_name=*/false);
}

}  // namespace meltemi::proxy
