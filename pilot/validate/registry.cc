#include "pilot/validate/registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kube/core/v1/core.pb.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/service_entry.pb.h"
#include "networking/v1/sidecar.pb.h"
#include "networking/v1/workload_entry.pb.h"

namespace meltemi::pilot {
namespace {

namespace networking = ::istio::networking::v1alpha3;

constexpr char kServiceExportTo[] = "networking.istio.io/exportTo";

template <typename Map>
Labels ToLabels(const Map& map) {
  return Labels(map.begin(), map.end());
}

template <typename List>
ExportTo ToExportTo(const List& words, const std::string& ns) {
  return ExportTo::Parse(std::vector<std::string>(words.begin(), words.end()), ns);
}

}  // namespace

Registry::Registry(const std::vector<ObjectPtr>& objects, std::string domain)
    : domain_(std::move(domain)) {
  for (const ObjectPtr& object : objects) by_kind_[object->kind].push_back(object.get());
  for (auto& [kind, list] : by_kind_) {
    std::sort(list.begin(), list.end(),
              [](const Object* a, const Object* b) { return a->Key() < b->Key(); });
  }
  for (const Object* object : OfKind(Kind::kService)) AddService(*object);
  for (const Object* object : OfKind(Kind::kServiceEntry)) AddServiceEntry(*object);
  for (const Object* object : OfKind(Kind::kPod)) AddWorkload(*object);
  for (const Object* object : OfKind(Kind::kWorkloadEntry)) AddWorkload(*object);
  for (const Object* object : OfKind(Kind::kDestinationRule)) AddRule(*object);
}

const std::vector<const Object*>& Registry::OfKind(Kind kind) const {
  static const std::vector<const Object*> kNone;
  const auto it = by_kind_.find(kind);
  return it == by_kind_.end() ? kNone : it->second;
}

void Registry::AddService(const Object& object) {
  const auto& spec = object.Spec<kube::core::v1::Service>().spec();
  KnownService service;
  service.host = ServiceHost(object.meta.name, object.meta.ns, domain_);
  service.ns = object.meta.ns;
  for (const auto& port : spec.ports()) service.ports.push_back(static_cast<uint32_t>(port.port()));
  service.selector = ToLabels(spec.selector());
  std::vector<std::string> words;
  if (const auto it = object.meta.annotations.find(kServiceExportTo);
      it != object.meta.annotations.end()) {
    for (const absl::string_view word : absl::StrSplit(it->second, ',', absl::SkipWhitespace())) {
      words.emplace_back(absl::StripAsciiWhitespace(word));
    }
  }
  service.export_to = ExportTo::Parse(words, object.meta.ns);
  services_[service.host].push_back(std::move(service));
}

void Registry::AddServiceEntry(const Object& object) {
  const auto& spec = object.Spec<networking::ServiceEntry>();
  KnownService service;
  service.ns = object.meta.ns;
  for (const auto& port : spec.ports()) service.ports.push_back(port.number());
  service.selector = ToLabels(spec.workload_selector().labels());
  for (const auto& endpoint : spec.endpoints()) {
    service.endpoints.push_back(ToLabels(endpoint.labels()));
  }
  service.export_to = ToExportTo(spec.export_to(), object.meta.ns);
  for (const std::string& host : spec.hosts()) {
    service.host = host;
    services_[host].push_back(service);
  }
}

void Registry::AddWorkload(const Object& object) {
  Labels labels = object.meta.labels;
  if (object.kind == Kind::kWorkloadEntry) {
    for (const auto& [key, value] : object.Spec<networking::WorkloadEntry>().labels()) {
      labels[key] = value;
    }
  }
  workloads_.push_back({.ns = object.meta.ns, .labels = std::move(labels)});
}

void Registry::AddRule(const Object& object) {
  const auto& spec = object.Spec<networking::DestinationRule>();
  rules_.push_back({.object = &object,
                    .host = Resolve(spec.host(), object.meta.ns),
                    .export_to = ToExportTo(spec.export_to(), object.meta.ns)});
}

const KnownService* Registry::FindService(absl::string_view host, absl::string_view ns) const {
  const auto visible = [&](const std::vector<KnownService>& services) -> const KnownService* {
    const KnownService* found = nullptr;
    for (const KnownService& service : services) {
      if (!service.export_to.VisibleIn(ns)) continue;
      if (service.ns == ns) return &service;
      if (found == nullptr) found = &service;
    }
    return found;
  };
  if (const auto it = services_.find(host); it != services_.end()) {
    if (const KnownService* service = visible(it->second)) return service;
  }
  const KnownService* best = nullptr;
  for (const auto& [pattern, services] : services_) {
    if (!IsWildcard(pattern) || !HostCovers(pattern, host)) continue;
    const KnownService* service = visible(services);
    if (service != nullptr && (best == nullptr || MoreSpecificHost(pattern, best->host))) {
      best = service;
    }
  }
  return best;
}

bool Registry::FindsAny(absl::string_view service_ns, absl::string_view host,
                        absl::string_view ns) const {
  for (const auto& [name, services] : services_) {
    if (!HostsOverlap(host, name)) continue;
    for (const KnownService& service : services) {
      if ((service_ns == "*" || service.ns == service_ns) && service.export_to.VisibleIn(ns)) {
        return true;
      }
    }
  }
  return false;
}

bool Registry::HasSubset(absl::string_view host, absl::string_view subset,
                         absl::string_view ns) const {
  for (const KnownRule& rule : rules_) {
    if (!HostCovers(rule.host, host)) continue;
    if (rule.object->meta.ns != ns && !rule.export_to.VisibleIn(ns)) continue;
    for (const auto& known : rule.object->Spec<networking::DestinationRule>().subsets()) {
      if (known.name() == subset) return true;
    }
  }
  return false;
}

const Object* Registry::FindGateway(absl::string_view ns, absl::string_view name) const {
  for (const Object* gateway : OfKind(Kind::kGateway)) {
    if (gateway->meta.ns == ns && gateway->meta.name == name) return gateway;
  }
  return nullptr;
}

const Object* Registry::FindVirtualService(absl::string_view ns, absl::string_view name) const {
  for (const Object* service : OfKind(Kind::kVirtualService)) {
    if (service->meta.ns == ns && service->meta.name == name) return service;
  }
  return nullptr;
}

}  // namespace meltemi::pilot
