#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"
#include "networking/v1/service_entry.pb.h"
#include "pilot/model/decode.h"
#include "pilot/model/names.h"

namespace meltemi::pilot {
namespace {

constexpr absl::string_view kExportToAnnotation = "networking.istio.io/exportTo";

template <typename ProtoMap>
Labels ToLabels(const ProtoMap& map) {
  return Labels(map.begin(), map.end());
}

std::vector<std::string> ClusterIps(const kube::core::v1::ServiceSpec& spec) {
  std::vector<std::string> ips(spec.cluster_ips().begin(), spec.cluster_ips().end());
  if (ips.empty() && !spec.cluster_ip().empty()) ips.push_back(spec.cluster_ip());
  ips.erase(std::remove_if(ips.begin(), ips.end(),
                           [](const std::string& ip) { return ip.empty() || ip == "None"; }),
            ips.end());
  return ips;
}

ServicePort DecodePort(const kube::core::v1::ServicePort& port) {
  ServicePort result;
  result.number = static_cast<uint32_t>(port.port());
  result.name = port.name();
  result.protocol =
      DetectProtocol(port.protocol(), port.app_protocol(), port.name(), result.number);
  if (port.has_target_port()) {
    result.target_number = static_cast<uint32_t>(std::max(0, port.target_port().int_val()));
    result.target_name = port.target_port().str_val();
  }
  return result;
}

std::vector<std::string> SplitExportTo(const ObjectMeta& meta) {
  std::vector<std::string> words;
  const auto it = meta.annotations.find(std::string(kExportToAnnotation));
  if (it == meta.annotations.end()) return words;
  std::string word;
  for (const char c : it->second + ",") {
    if (c == ',') {
      if (!word.empty()) words.push_back(std::exchange(word, {}));
    } else if (c != ' ') {
      word += c;
    }
  }
  return words;
}

// The label decides; without it an entry has an identity if it names its account.
bool EntryTakesMtls(const Labels& labels, const networking::WorkloadEntry& entry) {
  const auto label = labels.find(kTlsModeLabel);
  if (label != labels.end()) return label->second == "istio";
  return !entry.service_account().empty();
}

Endpoint DeclaredEndpoint(const ObjectMeta& meta, const networking::WorkloadEntry& entry,
                          const ServicePort& port) {
  Endpoint endpoint;
  endpoint.address = entry.address();
  const auto named = entry.ports().find(port.name);
  const uint32_t target = port.target_number != 0 ? port.target_number : port.number;
  endpoint.port = named != entry.ports().end() ? named->second : target;
  endpoint.service_port = port.number;
  endpoint.weight = entry.weight();
  endpoint.labels = ToLabels(entry.labels());
  endpoint.ns = meta.ns;
  endpoint.workload = meta.name;
  endpoint.service_account = entry.service_account();
  endpoint.takes_mtls = EntryTakesMtls(endpoint.labels, entry);
  return endpoint;
}

Resolution DecodeResolution(const networking::ServiceEntry& spec) {
  switch (spec.resolution()) {
    case networking::ServiceEntry::NONE:
      return Resolution::kPassthrough;
    case networking::ServiceEntry::DNS:
      return Resolution::kDns;
    case networking::ServiceEntry::DNS_ROUND_ROBIN:
      return Resolution::kDnsRoundRobin;
    default:
      return Resolution::kEndpoints;
  }
}

// "10.0.0.0/32" and "10.0.0.0" are addresses to listen on; wider ranges are not.
std::vector<std::string> ListenAddresses(const networking::ServiceEntry& spec) {
  std::vector<std::string> result;
  for (absl::string_view address : spec.addresses()) {
    if (address.size() > 3 && address.substr(address.size() - 3) == "/32") {
      address.remove_suffix(3);
    }
    if (IsIpAddress(address)) result.emplace_back(address);
  }
  return result;
}

bool PodIsReady(const kube::core::v1::Pod& pod) {
  if (pod.metadata().has_deletion_timestamp()) return false;
  for (const auto& condition : pod.status().conditions()) {
    if (condition.type() == "Ready") return condition.status() == "True";
  }
  const std::string& phase = pod.status().phase();
  return phase.empty() || phase == "Running";
}

// "web-6d4b75cb6d-hswdb" of a ReplicaSet belongs to the Deployment "web".
std::string WorkloadNameOf(const kube::core::v1::Pod& pod) {
  for (const auto& owner : pod.metadata().owner_references()) {
    if (!owner.controller()) continue;
    const size_t dash = owner.name().rfind('-');
    if (owner.kind() == "ReplicaSet" && dash != std::string::npos) {
      return owner.name().substr(0, dash);
    }
    return owner.name();
  }
  return pod.metadata().name();
}

// The label decides; without it a pod has what the injector's own note says.
bool PodTakesMtls(const ObjectMeta& meta) {
  const auto label = meta.labels.find(kTlsModeLabel);
  if (label != meta.labels.end()) return label->second == "istio";
  const auto status = meta.annotations.find("sidecar.istio.io/status");
  return status != meta.annotations.end() && !status->second.empty();
}

}  // namespace

ServicePtr DecodeService(const ObjectMeta& meta, const kube::core::v1::Service& service,
                         absl::string_view domain) {
  const kube::core::v1::ServiceSpec& spec = service.spec();
  auto result = std::make_shared<Service>();
  result->meta = meta;
  result->host = ServiceHost(meta.name, meta.ns, domain);
  result->addresses = ClusterIps(spec);
  for (const auto& port : spec.ports()) result->ports.push_back(DecodePort(port));
  result->selector = ToLabels(spec.selector());
  result->export_to = ExportTo::Parse(SplitExportTo(meta), meta.ns);
  if (spec.type() == "ExternalName") {
    result->external = true;
    result->resolution = Resolution::kDns;
    for (const ServicePort& port : result->ports) {
      result->declared.push_back(Endpoint{.address = spec.external_name(),
                                          .port = port.number,
                                          .service_port = port.number,
                                          .ns = meta.ns,
                                          .workload = meta.name});
    }
  } else if (spec.cluster_ip() == "None") {
    result->headless = true;
    result->resolution = Resolution::kPassthrough;
  }
  if (result->ports.empty()) return nullptr;
  return result;
}

std::vector<ServicePtr> DecodeServiceEntry(const ObjectMeta& meta,
                                           const networking::ServiceEntry& spec) {
  std::vector<ServicePort> ports;
  for (const auto& port : spec.ports()) {
    Protocol protocol = ParseProtocol(port.protocol());
    if (port.protocol().empty()) protocol = DetectProtocol("TCP", "", port.name(), port.number());
    ports.push_back(ServicePort{.number = port.number(),
                                .name = port.name(),
                                .protocol = protocol,
                                .target_number = port.target_port()});
  }
  std::vector<ServicePtr> result;
  for (const std::string& host : spec.hosts()) {
    auto service = std::make_shared<Service>();
    service->meta = meta;
    service->host = host;
    service->addresses = ListenAddresses(spec);
    service->ports = ports;
    service->resolution = DecodeResolution(spec);
    service->external = spec.location() == networking::ServiceEntry::MESH_EXTERNAL;
    service->selector = ToLabels(spec.workload_selector().labels());
    service->subject_alt_names.assign(spec.subject_alt_names().begin(),
                                      spec.subject_alt_names().end());
    service->export_to =
        ExportTo::Parse({spec.export_to().begin(), spec.export_to().end()}, meta.ns);
    const bool by_dns = service->resolution == Resolution::kDns ||
                        service->resolution == Resolution::kDnsRoundRobin;
    for (const ServicePort& port : ports) {
      for (const auto& entry : spec.endpoints()) {
        service->declared.push_back(DeclaredEndpoint(meta, entry, port));
      }
      if (by_dns && spec.endpoints().empty() && !IsWildcard(host)) {
        networking::WorkloadEntry self;
        self.set_address(host);
        service->declared.push_back(DeclaredEndpoint(meta, self, port));
      }
    }
    if (!ports.empty()) result.push_back(std::move(service));
  }
  return result;
}

WorkloadPtr DecodePod(const ObjectMeta& meta, const kube::core::v1::Pod& pod) {
  const kube::core::v1::PodStatus& status = pod.status();
  if (status.pod_ip().empty() || status.phase() == "Succeeded" || status.phase() == "Failed") {
    return nullptr;
  }
  auto result = std::make_shared<Workload>();
  result->meta = meta;
  result->address = status.pod_ip();
  result->workload_name = WorkloadNameOf(pod);
  result->service_account = pod.spec().service_account_name();
  if (result->service_account.empty()) result->service_account = "default";
  for (const auto& container : pod.spec().containers()) {
    for (const auto& port : container.ports()) {
      if (!port.name().empty()) {
        result->ports[port.name()] = static_cast<uint32_t>(port.container_port());
      }
    }
  }
  result->ready = PodIsReady(pod);
  result->takes_mtls = PodTakesMtls(meta);
  return result;
}

WorkloadPtr DecodeWorkloadEntry(const ObjectMeta& meta, const networking::WorkloadEntry& spec) {
  if (spec.address().empty()) return nullptr;
  auto result = std::make_shared<Workload>();
  result->meta = meta;
  // The spec's labels are those of the workload; the object's own serve where it has none.
  if (!spec.labels().empty()) result->meta.labels = ToLabels(spec.labels());
  result->address = spec.address();
  result->workload_name = meta.name;
  result->service_account = spec.service_account();
  result->ports.insert(spec.ports().begin(), spec.ports().end());
  result->weight = spec.weight();
  result->takes_mtls = EntryTakesMtls(result->meta.labels, spec);
  return result;
}

EndpointListPtr DecodeEndpoints(const ObjectMeta& meta,
                                const kube::core::v1::Endpoints& endpoints) {
  auto result = std::make_shared<EndpointList>();
  result->meta = meta;
  result->service = meta.name;
  for (const auto& subset : endpoints.subsets()) {
    EndpointList::Group group;
    for (const auto& address : subset.addresses()) group.addresses.push_back({address.ip(), true});
    for (const auto& address : subset.not_ready_addresses()) {
      group.addresses.push_back({address.ip(), false});
    }
    for (const auto& port : subset.ports()) {
      group.ports.push_back({port.name(), static_cast<uint32_t>(port.port())});
    }
    result->groups.push_back(std::move(group));
  }
  return result;
}

EndpointListPtr DecodeEndpointSlice(const ObjectMeta& meta,
                                    const kube::discovery::v1::EndpointSlice& slice) {
  if (slice.address_type() == "FQDN") return nullptr;
  const auto service = meta.labels.find("kubernetes.io/service-name");
  if (service == meta.labels.end()) return nullptr;
  auto result = std::make_shared<EndpointList>();
  result->meta = meta;
  result->service = service->second;
  result->is_slice = true;
  EndpointList::Group group;
  for (const auto& endpoint : slice.endpoints()) {
    const auto& conditions = endpoint.conditions();
    const bool ready = !conditions.has_ready() || conditions.ready();
    for (const std::string& ip : endpoint.addresses()) group.addresses.push_back({ip, ready});
  }
  for (const auto& port : slice.ports()) {
    group.ports.push_back({port.name(), static_cast<uint32_t>(port.port())});
  }
  result->groups.push_back(std::move(group));
  return result;
}

}  // namespace meltemi::pilot
