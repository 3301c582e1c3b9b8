#include "orchestrator/kubeproxy/model/facts.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"

namespace meltemi::kubeproxy {
namespace {

constexpr char kProxyName[] = "service.kubernetes.io/service-proxy-name";
constexpr char kHeadless[] = "service.kubernetes.io/headless";
constexpr char kServiceName[] = "kubernetes.io/service-name";
constexpr char kTriggerTime[] = "endpoints.kubernetes.io/last-change-trigger-time";
constexpr int kAffinityDefault = 10'800;

std::optional<Protocol> ParseProtocol(absl::string_view word) {
  if (word.empty() || word == "TCP") return Protocol::kTcp;
  if (word == "UDP") return Protocol::kUdp;
  if (word == "SCTP") return Protocol::kSctp;
  return std::nullopt;
}

bool IsPort(int number) { return number > 0 && number < 65'536; }

template <typename T>
bool OfOtherProxy(const T& object) {
  const auto& labels = object.metadata().labels();
  return labels.contains(kProxyName) || labels.contains(kHeadless);
}

template <typename T>
void SortEachOnce(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

Ipv4 ClusterIpOf(const kube::core::v1::ServiceSpec& spec) {
  if (const std::optional<Ipv4> ip = ParseIp(spec.cluster_ip())) return *ip;
  for (const std::string& text : spec.cluster_ips()) {
    if (const std::optional<Ipv4> ip = ParseIp(text)) return *ip;
  }
  return 0;
}

void ReadAddresses(const kube::core::v1::Service& service, ServiceFacts& facts) {
  for (const std::string& text : service.spec().external_ips()) {
    if (const std::optional<Ipv4> ip = ParseIp(text)) facts.external_ips.push_back(*ip);
  }
  for (const auto& ingress : service.status().load_balancer().ingress()) {
    if (ingress.has_ip_mode() && ingress.ip_mode() != "VIP") continue;
    if (const std::optional<Ipv4> ip = ParseIp(ingress.ip())) {
      facts.load_balancer_ips.push_back(*ip);
    }
  }
  for (const std::string& text : service.spec().load_balancer_source_ranges()) {
    if (const auto range = ParseRange(absl::StripAsciiWhitespace(text))) {
      facts.source_ranges.push_back(*range);
    }
  }
  SortEachOnce(facts.external_ips);
  SortEachOnce(facts.load_balancer_ips);
  SortEachOnce(facts.source_ranges);
}

void ReadPorts(const kube::core::v1::ServiceSpec& spec, ServiceFacts& facts) {
  for (const auto& port : spec.ports()) {
    const std::optional<Protocol> protocol = ParseProtocol(port.protocol());
    if (!protocol || !IsPort(port.port())) continue;
    PortFacts& read = facts.ports.emplace_back();
    read.name = port.name();
    read.protocol = *protocol;
    read.port = static_cast<uint16_t>(port.port());
    if (IsPort(port.node_port())) read.node_port = static_cast<uint16_t>(port.node_port());
  }
}

}  // namespace

std::optional<Ipv4> ParseIp(absl::string_view text) {
  Ipv4 ip = 0;
  int parts = 0;
  for (absl::string_view part : absl::StrSplit(text, '.')) {
    uint32_t number = 0;
    if (part.size() > 3 || !absl::SimpleAtoi(part, &number) || number > 255) return std::nullopt;
    // "+1" and " 1" are numbers for SimpleAtoi.
    if (!absl::ascii_isdigit(part[0]) || !absl::ascii_isdigit(part.back())) return std::nullopt;
    ip = ip << 8 | number;
    parts++;
  }
  return parts == 4 ? std::optional<Ipv4>(ip) : std::nullopt;
}

std::optional<SourceRange> ParseRange(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts =
      absl::StrSplit(text, absl::MaxSplits('/', 1));
  const std::optional<Ipv4> ip = ParseIp(parts.first);
  uint32_t bits = 0;
  if (!ip || !absl::SimpleAtoi(parts.second, &bits) || bits > 32) return std::nullopt;
  const Ipv4 mask = bits == 0 ? 0 : ~Ipv4{0} << (32 - bits);
  return SourceRange{*ip & mask, static_cast<uint8_t>(bits)};
}

std::optional<ServiceFacts> ReadService(const kube::core::v1::Service& service) {
  const kube::core::v1::ServiceSpec& spec = service.spec();
  if (spec.type() == "ExternalName" || OfOtherProxy(service)) return std::nullopt;
  ServiceFacts facts;
  facts.cluster_ip = ClusterIpOf(spec);
  if (facts.cluster_ip == 0) return std::nullopt;
  if (spec.session_affinity() == "ClientIP") {
    const auto& client_ip = spec.session_affinity_config().client_ip();
    facts.affinity_s = client_ip.has_timeout_seconds() ? client_ip.timeout_seconds() : 0;
    if (facts.affinity_s <= 0) facts.affinity_s = kAffinityDefault;
  }
  const bool from_outside =
      spec.type() == "NodePort" || spec.type() == "LoadBalancer" || spec.external_ips_size() > 0;
  facts.internal_local = spec.internal_traffic_policy() == "Local";
  facts.external_local = from_outside && spec.external_traffic_policy() == "Local";
  if (spec.type() == "LoadBalancer" && facts.external_local &&
      IsPort(spec.health_check_node_port())) {
    facts.health_check_port = static_cast<uint16_t>(spec.health_check_node_port());
  }
  ReadAddresses(service, facts);
  ReadPorts(spec, facts);
  return facts;
}

std::optional<SliceFacts> ReadSlice(const kube::discovery::v1::EndpointSlice& slice,
                                    absl::string_view node_name) {
  if (slice.address_type() != "IPv4" || OfOtherProxy(slice)) return std::nullopt;
  SliceFacts facts;
  for (const auto& port : slice.ports()) {
    const std::optional<Protocol> protocol = ParseProtocol(port.protocol());
    if (!protocol || !IsPort(port.port())) continue;
    facts.ports.push_back({port.name(), *protocol, static_cast<uint16_t>(port.port())});
  }
  facts.endpoints.reserve(static_cast<size_t>(slice.endpoints_size()));
  for (const auto& endpoint : slice.endpoints()) {
    if (endpoint.addresses_size() == 0) continue;
    const std::optional<Ipv4> ip = ParseIp(endpoint.addresses(0));
    if (!ip) continue;
    const auto& conditions = endpoint.conditions();
    EndpointFacts read{};
    read.ip = *ip;
    read.placed = endpoint.has_node_name();
    read.local = read.placed && !node_name.empty() && endpoint.node_name() == node_name;
    read.ready = !conditions.has_ready() || conditions.ready();
    read.serving = !conditions.has_serving() || conditions.serving();
    read.terminating = conditions.terminating();
    facts.endpoints.push_back(read);
  }
  return facts;
}

std::string ServiceOf(const kube::discovery::v1::EndpointSlice& slice) {
  const auto at = slice.metadata().labels().find(kServiceName);
  return at == slice.metadata().labels().end() ? "" : at->second;
}

void TrimService(kube::core::v1::Service& service) {
  service.mutable_metadata()->clear_annotations();
  service.mutable_metadata()->clear_managed_fields();
  service.mutable_metadata()->clear_owner_references();
  service.mutable_spec()->clear_selector();
  service.mutable_status()->clear_conditions();
}

void TrimSlice(kube::discovery::v1::EndpointSlice& slice) {
  auto& metadata = *slice.mutable_metadata();
  const auto at = metadata.annotations().find(kTriggerTime);
  const std::string trigger = at == metadata.annotations().end() ? "" : at->second;
  metadata.clear_annotations();
  if (!trigger.empty()) (*metadata.mutable_annotations())[kTriggerTime] = trigger;
  metadata.clear_managed_fields();
  metadata.clear_owner_references();
  for (auto& endpoint : *slice.mutable_endpoints()) {
    endpoint.clear_target_ref();
    endpoint.clear_hostname();
    endpoint.clear_zone();
    endpoint.clear_hints();
    endpoint.clear_deprecated_topology();
  }
}

}  // namespace meltemi::kubeproxy
