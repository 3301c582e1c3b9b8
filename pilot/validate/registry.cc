#include "pilot/validate/registry.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kube/core/v1/service.pb.h"
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
  for (const auto& [host, services] : services_) {
    if (IsWildcard(host)) wildcards_.push_back(host);
  }
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
  workloads_.push_back(
      {.ns = object.meta.ns,
       .labels = std::move(labels),
       .has_sidecar = object.meta.annotations.count("sidecar.istio.io/status") > 0});
}

void Registry::AddRule(const Object& object) {
  const auto& spec = object.Spec<networking::DestinationRule>();
  rules_by_host_[Resolve(spec.host(), object.meta.ns)].push_back(rules_.size());
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
  for (const std::string& pattern : wildcards_) {
    if (!HostCovers(pattern, host)) continue;
    const KnownService* service = visible(services_.find(pattern)->second);
    if (service != nullptr && (best == nullptr || MoreSpecificHost(pattern, best->host))) {
      best = service;
    }
  }
  return best;
}

bool Registry::FindsAny(absl::string_view service_ns, absl::string_view host,
                        absl::string_view ns) const {
  const auto any_of = [&](const std::vector<KnownService>& services) {
    return std::any_of(services.begin(), services.end(), [&](const KnownService& service) {
      return (service_ns == "*" || service.ns == service_ns) && service.export_to.VisibleIn(ns);
    });
  };
  if (!IsWildcard(host)) {
    const auto it = services_.find(host);
    if (it != services_.end() && any_of(it->second)) return true;
    return std::any_of(wildcards_.begin(), wildcards_.end(), [&](const std::string& pattern) {
      return HostCovers(pattern, host) && any_of(services_.find(pattern)->second);
    });
  }
  return std::any_of(services_.begin(), services_.end(), [&](const auto& known) {
    return HostsOverlap(host, known.first) && any_of(known.second);
  });
}

bool Registry::HasSubset(absl::string_view host, absl::string_view subset,
                         absl::string_view ns) const {
  const auto defines = [&](const KnownRule& rule) {
    if (rule.object->meta.ns != ns && !rule.export_to.VisibleIn(ns)) return false;
    for (const auto& known : rule.object->Spec<networking::DestinationRule>().subsets()) {
      if (known.name() == subset) return true;
    }
    return false;
  };
  if (const auto it = rules_by_host_.find(host); it != rules_by_host_.end()) {
    for (const size_t index : it->second) {
      if (defines(rules_[index])) return true;
    }
  }
  // Wildcards come first in the order of hosts.
  for (const auto& [pattern, indexes] : rules_by_host_) {
    if (!IsWildcard(pattern)) break;
    if (!HostCovers(pattern, host)) continue;
    for (const size_t index : indexes) {
      if (defines(rules_[index])) return true;
    }
  }
  return false;
}

const Object* Registry::Find(Kind kind, absl::string_view ns, absl::string_view name) const {
  const std::vector<const Object*>& list = OfKind(kind);
  const auto it = std::lower_bound(
      list.begin(), list.end(), std::pair(ns, name), [](const Object* object, const auto& wanted) {
        return std::pair<absl::string_view, absl::string_view>(object->meta.ns, object->meta.name) <
               wanted;
      });
  if (it == list.end() || (*it)->meta.ns != ns || (*it)->meta.name != name) return nullptr;
  return *it;
}

const Object* Registry::FindGateway(absl::string_view ns, absl::string_view name) const {
  return Find(Kind::kGateway, ns, name);
}

const Object* Registry::FindSecret(absl::string_view ns, absl::string_view name) const {
  return Find(Kind::kSecret, ns, name);
}

const Object* Registry::FindVirtualService(absl::string_view ns, absl::string_view name) const {
  return Find(Kind::kVirtualService, ns, name);
}

}  // namespace meltemi::pilot
