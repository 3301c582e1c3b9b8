#include "pilot/snapshot/scope.h"

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "networking/v1/sidecar.pb.h"

namespace meltemi::pilot {
namespace {

// One "NS/HOST" word of an egress listener.
struct EgressHost {
  std::string ns;  // "*": any
  std::string host;
  uint32_t port = 0;  // 0: any

  bool Imports(absl::string_view object_ns, absl::string_view object_host) const {
    return (ns == "*" || ns == object_ns) && HostsOverlap(host, object_host);
  }
};

std::vector<EgressHost> EgressHosts(const Sidecar& sidecar, const std::string& proxy_ns) {
  std::vector<EgressHost> result;
  for (const auto& listener : sidecar.spec->egress()) {
    for (const std::string& word : listener.hosts()) {
      const size_t slash = word.find('/');
      std::string ns = slash == std::string::npos ? "*" : word.substr(0, slash);
      std::string host = slash == std::string::npos ? word : word.substr(slash + 1);
      if (ns == "~") continue;
      if (ns == ".") ns = proxy_ns;
      result.push_back(EgressHost{std::move(ns), std::move(host), listener.port().number()});
    }
  }
  return result;
}

class ScopeBuilder {
 public:
  explicit ScopeBuilder(Scope* scope) : scope_(*scope) {}

  void Run() {
    const bool scoped = scope_.sidecar != nullptr && scope_.sidecar->spec->egress_size() > 0;
    if (scoped) {
      egress_ = EgressHosts(*scope_.sidecar, scope_.ns);
    } else {
      egress_.push_back(EgressHost{"*", "*", 0});
    }
    AddVirtualServices();
    std::map<std::string, ServicePtr> chosen;
    for (const ServicePtr& service : scope_.snapshot->services->all()) Offer(service, &chosen);
    // What an imported VirtualService routes to is imported with it.
    if (scoped) AddDestinations(&chosen);
    Finish(chosen);
  }

 private:
  bool Visible(const ExportTo& export_to, const std::string& ns) const {
    return ns == scope_.ns ? (export_to.everywhere() || export_to.VisibleIn(ns))
                           : export_to.VisibleIn(scope_.ns);
  }

  void AddVirtualServices() {
    for (const VirtualServicePtr& rule : scope_.snapshot->rules->virtual_services()) {
      if (!Visible(rule->export_to, rule->meta.ns)) continue;
      const bool imported = std::any_of(egress_.begin(), egress_.end(), [&](const auto& egress) {
        return std::any_of(rule->hosts.begin(), rule->hosts.end(), [&](const std::string& host) {
          return egress.Imports(rule->meta.ns, host);
        });
      });
      if (imported) scope_.virtual_services.push_back(rule);
    }
    for (const VirtualServicePtr& rule : scope_.virtual_services) {
      for (const std::string& host : rule->hosts) {
        auto& place = scope_.virtual_by_host[host];
        if (place.empty() && IsWildcard(host)) scope_.virtual_wildcards.push_back(host);
        if (place.empty() || place.back() != rule) place.push_back(rule);
      }
    }
    std::sort(scope_.virtual_wildcards.begin(), scope_.virtual_wildcards.end(), MoreSpecificHost);
  }

  // Takes `service` if it is imported; of several with one host the proxy's own namespace wins,
  // then the oldest.
  void Offer(const ServicePtr& service, std::map<std::string, ServicePtr>* chosen) {
    if (!Visible(service->export_to, service->meta.ns)) return;
    ServicePtr taken = Imported(service);
    if (taken == nullptr) return;
    ServicePtr& place = (*chosen)[service->host];
    if (place == nullptr || (service->meta.ns == scope_.ns && place->meta.ns != scope_.ns)) {
      place = std::move(taken);
    }
  }

  ServicePtr Imported(const ServicePtr& service) const {
    std::set<uint32_t> ports;
    for (const EgressHost& egress : egress_) {
      if (!egress.Imports(service->meta.ns, service->host)) continue;
      if (egress.port == 0) return service;
      if (service->FindPort(egress.port) != nullptr) ports.insert(egress.port);
    }
    if (ports.empty()) return nullptr;
    auto narrowed = std::make_shared<Service>(*service);
    std::erase_if(narrowed->ports, [&](const ServicePort& p) { return !ports.contains(p.number); });
    return narrowed;
  }

  void AddDestinations(std::map<std::string, ServicePtr>* chosen) {
    for (const VirtualServicePtr& rule : scope_.virtual_services) {
      for (const DestinationRef& destination : rule->destinations) {
        if (chosen->contains(destination.host)) continue;
        ServicePtr service = scope_.snapshot->services->Find(destination.host, scope_.ns);
        if (service != nullptr && Visible(service->export_to, service->meta.ns)) {
          chosen->emplace(destination.host, std::move(service));
        }
      }
    }
  }

  void Finish(const std::map<std::string, ServicePtr>& chosen) {
    const std::string& root = scope_.snapshot->mesh->root_namespace;
    for (const auto& [host, service] : chosen) {
      scope_.services.push_back(service);
      scope_.by_host.emplace(host, service);
      if (DestinationRulePtr rule = scope_.snapshot->rules->FindRule(
              host, scope_.ns, service->meta.ns, root, scope_.labels)) {
        scope_.rule_by_host.emplace(host, std::move(rule));
      }
    }
    std::stable_sort(scope_.services.begin(), scope_.services.end(),
                     [](const ServicePtr& a, const ServicePtr& b) {
                       return a->meta.created_s < b->meta.created_s;  // then by host, as they are
                     });
  }

  Scope& scope_;
  std::vector<EgressHost> egress_;
};

}  // namespace

ServicePtr Scope::FindService(absl::string_view host) const {
  const auto it = by_host.find(host);
  return it == by_host.end() ? nullptr : it->second;
}

DestinationRulePtr Scope::FindRule(absl::string_view host) const {
  const auto it = rule_by_host.find(host);
  return it == rule_by_host.end() ? nullptr : it->second;
}

std::vector<VirtualServicePtr> Scope::RulesFor(absl::string_view host,
                                               absl::string_view gateway) const {
  const auto of_gateway = [&](const std::string& key) {
    std::vector<VirtualServicePtr> result;
    for (const VirtualServicePtr& rule : virtual_by_host.at(key)) {
      if (rule->AppliesTo(gateway)) result.push_back(rule);
    }
    return result;
  };
  if (virtual_by_host.contains(host)) {
    std::vector<VirtualServicePtr> exact = of_gateway(std::string(host));
    if (!exact.empty()) return exact;
  }
  for (const std::string& wildcard : virtual_wildcards) {
    if (!HostCovers(wildcard, host)) continue;
    std::vector<VirtualServicePtr> rules = of_gateway(wildcard);
    if (!rules.empty()) return rules;
  }
  return {};
}

Labels RelevantLabels(const Snapshot& snapshot, const Labels& labels) {
  Labels relevant;
  for (const std::string& key : snapshot.rules->client_label_keys()) {
    const auto it = labels.find(key);
    if (it != labels.end()) relevant.insert(*it);
  }
  return relevant;
}

ScopePtr BuildScope(SnapshotPtr snapshot, const std::string& ns, const Labels& labels,
                    bool use_sidecar) {
  auto scope = std::make_shared<Scope>();
  scope->snapshot = std::move(snapshot);
  scope->ns = ns;
  scope->labels = RelevantLabels(*scope->snapshot, labels);
  scope->outbound_policy = scope->snapshot->mesh->outbound_policy;
  if (use_sidecar) {
    scope->sidecar = scope->snapshot->rules->FindSidecar(ns, scope->snapshot->mesh->root_namespace,
                                                         scope->labels);
  }
  if (scope->sidecar != nullptr && scope->sidecar->spec->has_outbound_traffic_policy()) {
    scope->outbound_policy = scope->sidecar->spec->outbound_traffic_policy().mode() ==
                                     networking::OutboundTrafficPolicy::ALLOW_ANY
                                 ? OutboundPolicy::kAllowAny
                                 : OutboundPolicy::kRegistryOnly;
  }
  ScopeBuilder(scope.get()).Run();
  return scope;
}

}  // namespace meltemi::pilot
