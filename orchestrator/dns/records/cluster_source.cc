#include "orchestrator/dns/records/cluster_source.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/discovery/v1/discovery.pb.h"

namespace meltemi::dns {
namespace {

using kube::core::v1::Namespace;
using kube::core::v1::Service;
using kube::discovery::v1::EndpointSlice;

constexpr char kServiceIndex[] = "dns-service";
constexpr char kServiceLabel[] = "kubernetes.io/service-name";
constexpr char kHeadless[] = "None";

std::string ServiceNameOf(const EndpointSlice& slice) {
  const auto found = slice.metadata().labels().find(kServiceLabel);
  return found == slice.metadata().labels().end() ? "" : found->second;
}

// What is left is all that is read here and what the informer itself needs.
template <typename T>
void KeepIdentity(T& object) {
  auto* meta = object.mutable_metadata();
  meta->clear_annotations();
  meta->clear_managed_fields();
  meta->clear_owner_references();
  meta->clear_finalizers();
  meta->clear_generate_name();
}

void TrimService(google::protobuf::Message& message) {
  auto& service = static_cast<Service&>(message);
  KeepIdentity(service);
  service.mutable_metadata()->clear_labels();
  service.clear_status();
  service.mutable_spec()->clear_selector();
  service.mutable_spec()->clear_session_affinity_config();
}

// Of many thousands of backends little more than the addresses is left: those that are not ready
// go, and those without a name of their own share one entry. Twice does no harm.
void PackEndpoints(EndpointSlice& slice) {
  google::protobuf::RepeatedPtrField<kube::discovery::v1::Endpoint> kept;
  kube::discovery::v1::Endpoint* nameless = nullptr;
  for (const auto& endpoint : slice.endpoints()) {
    if (endpoint.conditions().has_ready() && !endpoint.conditions().ready()) continue;
    if (endpoint.addresses().empty()) continue;
    const bool named = !endpoint.hostname().empty();
    if (named || nameless == nullptr) {
      auto* entry = kept.Add();
      if (named) entry->set_hostname(endpoint.hostname());
      if (!named) nameless = entry;
    }
    auto& entry = named ? kept[kept.size() - 1] : *nameless;
    for (const std::string& address : endpoint.addresses()) entry.add_addresses(address);
  }
  slice.mutable_endpoints()->Swap(&kept);
}

void TrimSlice(google::protobuf::Message& message) {
  auto& slice = static_cast<EndpointSlice&>(message);
  KeepIdentity(slice);
  const std::string service = ServiceNameOf(slice);
  auto& labels = *slice.mutable_metadata()->mutable_labels();
  labels.clear();
  if (!service.empty()) labels[kServiceLabel] = service;
  PackEndpoints(slice);
}

void TrimNamespace(google::protobuf::Message& message) {
  auto& ns = static_cast<Namespace&>(message);
  KeepIdentity(ns);
  ns.mutable_metadata()->clear_labels();
  ns.clear_status();
}

PortRecord PortOf(absl::string_view name, absl::string_view protocol, int32_t port) {
  return {absl::AsciiStrToLower(name), protocol.empty() ? "tcp" : absl::AsciiStrToLower(protocol),
          static_cast<uint16_t>(port)};
}

void AddSlice(const EndpointSlice& slice, ServiceRecord* record) {
  std::vector<PortRecord> ports;
  for (const auto& port : slice.ports()) {
    if (port.has_port()) ports.push_back(PortOf(port.name(), port.protocol(), port.port()));
  }
  const auto set = static_cast<uint32_t>(record->endpoint_ports.size());
  record->endpoint_ports.push_back(std::move(ports));
  for (const auto& endpoint : slice.endpoints()) {  // as PackEndpoints has left them
    for (const std::string& text : endpoint.addresses()) {
      const IpBytes address = AddressBytes(text);
      if (address.empty()) continue;  // a slice of names
      if (!endpoint.hostname().empty()) {
        record->hostnames[record->endpoints.size()] = endpoint.hostname();
      }
      record->endpoints.push_back({address, set});
    }
  }
}

std::unique_ptr<ServiceRecord> RecordOf(const Service& service,
                                        const std::vector<kube::MessagePtr>& slices) {
  auto record = std::make_unique<ServiceRecord>();
  record->ns = service.metadata().namespace_();
  record->name = service.metadata().name();
  const auto& spec = service.spec();
  if (spec.type() == "ExternalName") {
    record->external = NameFromText(spec.external_name());
    return record;
  }
  record->headless = spec.cluster_ip() == kHeadless;
  for (const auto& port : spec.ports()) {
    record->ports.push_back(PortOf(port.name(), port.protocol(), port.port()));
  }
  const auto add = [&record](const std::string& text) {
    const IpBytes address = AddressBytes(text);
    if (!address.empty()) record->addresses.push_back(address);
  };
  for (const std::string& ip : spec.cluster_ips()) add(ip);
  if (spec.cluster_ips().empty()) add(spec.cluster_ip());
  for (const kube::MessagePtr& slice : slices) {
    AddSlice(static_cast<const EndpointSlice&>(*slice), record.get());
  }
  record->endpoints.shrink_to_fit();
  return record;
}

}  // namespace

ClusterSource::ClusterSource(kube::Informers& informers, Records& records)
    : services_(informers.Of<Service>()),
      slices_(informers.Of<EndpointSlice>()),
      namespaces_(informers.Of<Namespace>()),
      records_(records) {
  services_.SetTransform(TrimService);
  slices_.SetTransform(TrimSlice);
  namespaces_.SetTransform(TrimNamespace);
  slices_.AddIndex(kServiceIndex, [](const google::protobuf::Message& message) {
    const auto& slice = static_cast<const EndpointSlice&>(message);
    const std::string service = ServiceNameOf(slice);
    if (service.empty()) return std::vector<std::string>();
    return std::vector<std::string>{absl::StrCat(slice.metadata().namespace_(), "/", service)};
  });
  services_.AddHandler([this](const kube::Change& change) {
    const auto& service =
        static_cast<const Service&>(change.after ? *change.after : *change.before);
    Refresh(service.metadata().namespace_(), service.metadata().name());
  });
  slices_.AddHandler([this](const kube::Change& change) {
    std::string before;
    for (const kube::MessagePtr& message : {change.before, change.after}) {
      if (message == nullptr) continue;
      const auto& slice = static_cast<const EndpointSlice&>(*message);
      const std::string service = ServiceNameOf(slice);
      if (!service.empty() && service != before) Refresh(slice.metadata().namespace_(), service);
      before = service;
    }
  });
  namespaces_.AddHandler([this](const kube::Change& change) {
    const auto& ns = static_cast<const Namespace&>(change.after ? *change.after : *change.before);
    records_.SetNamespace(ns.metadata().name(), change.after != nullptr);
  });
}

void ClusterSource::Refresh(absl::string_view ns, absl::string_view name) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const kube::MessagePtr service = services_.GetMessage(ns, name);
  if (service == nullptr) {
    records_.RemoveService(ns, name);
    return;
  }
  records_.SetService(
      RecordOf(static_cast<const Service&>(*service),
               slices_.IndexedMessages(kServiceIndex, absl::StrCat(ns, "/", name))));
}

}  // namespace meltemi::dns
