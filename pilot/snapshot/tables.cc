#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/snapshot/snapshot.h"

namespace meltemi::pilot {
namespace {

template <typename Pointer>
void SortByCreation(std::vector<Pointer>* objects) {
  std::stable_sort(objects->begin(), objects->end(), [](const Pointer& a, const Pointer& b) {
    return CreatedBefore(a->meta, b->meta);
  });
}

std::string ServiceKey(const Service& service) {
  return absl::StrCat(service.meta.ns, "/", service.host);
}

}  // namespace

ServiceTable::ServiceTable(std::vector<ServicePtr> services) : all_(std::move(services)) {
  std::stable_sort(all_.begin(), all_.end(), [](const ServicePtr& a, const ServicePtr& b) {
    return std::tie(a->meta.created_s, a->host, a->meta.ns) <
           std::tie(b->meta.created_s, b->host, b->meta.ns);
  });
  for (const ServicePtr& service : all_) {
    by_host_[service->host].push_back(service);
    if (!service->selector.empty()) selecting_[service->meta.ns].push_back(service);
    if (IsWildcard(service->host)) wildcards_.push_back(service->host);
  }
}

ServicePtr ServiceTable::Find(absl::string_view host, absl::string_view ns) const {
  const auto it = by_host_.find(host);
  if (it == by_host_.end()) return nullptr;
  for (const ServicePtr& service : it->second) {
    if (service->meta.ns == ns) return service;
  }
  for (const ServicePtr& service : it->second) {
    if (service->export_to.VisibleIn(ns)) return service;
  }
  return nullptr;
}

bool ServiceTable::Knows(absl::string_view host) const {
  if (by_host_.contains(host)) return true;
  return std::any_of(wildcards_.begin(), wildcards_.end(),
                     [&](const std::string& wildcard) { return HostCovers(wildcard, host); });
}

const std::vector<ServicePtr>& ServiceTable::SelectingIn(absl::string_view ns) const {
  static const auto& none = *new std::vector<ServicePtr>();
  const auto it = selecting_.find(ns);
  return it == selecting_.end() ? none : it->second;
}

EndpointTable::EndpointTable(const ObjectSet& objects, const ServiceTable& services,
                             const std::shared_ptr<const WorkloadIndex>& workloads,
                             const EndpointTable* previous)
    : workloads_(workloads) {
  ListsByService lists;  // by "NS/NAME"
  for (const EndpointListPtr& list : objects.endpoint_lists) {
    lists[absl::StrCat(list->meta.ns, "/", list->service)].push_back(list);
  }
  inputs_.reserve(services.all().size());
  for (const ServicePtr& service : services.all()) Add(service, lists, previous);
  if (previous != nullptr) NoteChanges(*previous);
  IndexAddresses(previous);
}

void EndpointTable::Add(const ServicePtr& service, const ListsByService& lists,
                        const EndpointTable* previous) {
  static const auto& none = *new std::vector<EndpointListPtr>();
  const std::vector<EndpointListPtr>* own = &none;
  if (service->meta.kind == "Service") {
    const auto it = lists.find(absl::StrCat(service->meta.ns, "/", service->meta.name));
    if (it != lists.end()) own = &it->second;
  }
  std::string key = ServiceKey(*service);
  ServiceEndpointsPtr before;
  if (previous != nullptr) {
    const auto known = previous->inputs_.find(key);
    if (known != previous->inputs_.end()) {
      before = previous->by_service_.at(key);
      const Inputs& inputs = *known->second;
      if (inputs.service == service && inputs.lists == *own && !inputs.elsewhere &&
          workloads_->SameIn(service->meta.ns, *previous->workloads_)) {
        inputs_.emplace(key, known->second);
        by_service_.emplace(std::move(key), std::move(before));
        return;
      }
    }
  }
  auto inputs = std::make_shared<Inputs>();
  inputs->service = service;
  inputs->lists = *own;
  inputs->selected = workloads_->Select(service->meta.ns, service->selector);
  auto joined =
      JoinEndpoints(*service, inputs->lists, inputs->selected, *workloads_, &inputs->elsewhere);
  if (before != nullptr && before->endpoints == joined->endpoints) {
    joined = std::move(before);
  } else if (before != nullptr && joined->endpoints.empty() && !before->accounts.empty()) {
    auto emptied = std::make_shared<ServiceEndpoints>(*joined);
    emptied->accounts = before->accounts;
    joined = std::move(emptied);
  }
  inputs_.emplace(key, std::move(inputs));
  by_service_.emplace(std::move(key), std::move(joined));
}

void EndpointTable::NoteChanges(const EndpointTable& previous) {
  std::set<std::string> hosts;
  for (const auto& [key, list] : by_service_) {
    const auto before = previous.by_service_.find(key);
    if (before == previous.by_service_.end() || before->second != list) hosts.insert(list->host);
  }
  for (const auto& [key, list] : previous.by_service_) {
    if (!by_service_.contains(key)) hosts.insert(list->host);
  }
  changed_hosts_.assign(hosts.begin(), hosts.end());
}

void EndpointTable::IndexAddresses(const EndpointTable* previous) {
  if (previous == nullptr) {
    for (const auto& [key, list] : by_service_) AddInstances(*list);
    return;
  }
  by_address_ = previous->by_address_;
  for (const auto& [key, list] : previous->by_service_) {
    const auto now = by_service_.find(key);
    if (now == by_service_.end() || now->second != list) RemoveInstances(*list);
  }
  for (const auto& [key, list] : by_service_) {
    const auto before = previous->by_service_.find(key);
    if (before == previous->by_service_.end() || before->second != list) AddInstances(*list);
  }
}

// Instances of one address are in the order of services, so that equal tables look equal.
void EndpointTable::AddInstances(const ServiceEndpoints& list) {
  for (const Endpoint& endpoint : list.endpoints) {
    Instances& place = by_address_[endpoint.address];
    auto more = place == nullptr ? std::make_shared<std::vector<Instance>>()
                                 : std::make_shared<std::vector<Instance>>(*place);
    Instance added{list.host, endpoint.service_port, endpoint.port};
    const auto at = std::upper_bound(more->begin(), more->end(), added,
                                     [](const Instance& a, const Instance& b) {
                                       return std::tie(a.host, a.service_port, a.port) <
                                              std::tie(b.host, b.service_port, b.port);
                                     });
    more->insert(at, std::move(added));
    place = std::move(more);
  }
}

void EndpointTable::RemoveInstances(const ServiceEndpoints& list) {
  for (const Endpoint& endpoint : list.endpoints) {
    const auto place = by_address_.find(endpoint.address);
    if (place == by_address_.end()) continue;
    auto rest = std::make_shared<std::vector<Instance>>(*place->second);
    const auto gone = std::find(rest->begin(), rest->end(),
                                Instance{list.host, endpoint.service_port, endpoint.port});
    if (gone != rest->end()) rest->erase(gone);
    if (rest->empty()) {
      by_address_.erase(place);
    } else {
      place->second = std::move(rest);
    }
  }
}

ServiceEndpointsPtr EndpointTable::Find(const Service& service) const {
  const auto it = by_service_.find(ServiceKey(service));
  if (it != by_service_.end()) return it->second;
  auto none = std::make_shared<ServiceEndpoints>();
  none->host = service.host;
  return none;
}

const std::vector<EndpointTable::Instance>& EndpointTable::At(absl::string_view address) const {
  static const auto& none = *new std::vector<Instance>();
  const auto it = by_address_.find(address);
  return it == by_address_.end() ? none : *it->second;
}

RuleTable::RuleTable(std::vector<VirtualServicePtr> virtual_services,
                     std::vector<DestinationRulePtr> destination_rules,
                     std::vector<GatewayPtr> gateways, std::vector<SidecarPtr> sidecars)
    : virtual_services_(std::move(virtual_services)),
      gateways_(std::move(gateways)),
      sidecars_(std::move(sidecars)) {
  SortByCreation(&virtual_services_);
  SortByCreation(&gateways_);
  SortByCreation(&sidecars_);
  SortByCreation(&destination_rules);
  MergeRules(std::move(destination_rules));
  CollectLabelKeys();
}

void RuleTable::MergeRules(std::vector<DestinationRulePtr> destination_rules) {
  for (DestinationRulePtr& rule : destination_rules) {
    HostRules& place = rules_[rule->meta.ns].by_host[rule->host];
    const auto same = std::find_if(place.begin(), place.end(), [&](const auto& other) {
      return other->workload_selector == rule->workload_selector &&
             other->export_to == rule->export_to;
    });
    if (same == place.end()) {
      place.push_back(std::move(rule));
      continue;
    }
    auto merged = std::make_shared<DestinationRule>(**same);
    auto spec = std::make_shared<networking::DestinationRule>(*merged->spec);
    for (const auto& subset : rule->spec->subsets()) {
      if (!merged->HasSubset(subset.name())) *spec->add_subsets() = subset;
    }
    if (!spec->has_traffic_policy() && rule->spec->has_traffic_policy()) {
      *spec->mutable_traffic_policy() = rule->spec->traffic_policy();
    }
    merged->spec = std::move(spec);
    *same = std::move(merged);
  }
  for (auto& [ns, rules] : rules_) {
    for (auto& [host, place] : rules.by_host) {
      std::stable_sort(place.begin(), place.end(), [](const auto& a, const auto& b) {
        return a->workload_selector.size() > b->workload_selector.size();
      });
      if (IsWildcard(host)) rules.wildcards.push_back(host);
    }
    std::sort(rules.wildcards.begin(), rules.wildcards.end(), MoreSpecificHost);
  }
}

std::vector<DestinationRulePtr> RuleTable::destination_rules() const {
  std::vector<DestinationRulePtr> all;
  for (const auto& [ns, rules] : rules_) {
    for (const auto& [host, place] : rules.by_host) {
      all.insert(all.end(), place.begin(), place.end());
    }
  }
  return all;
}

void RuleTable::CollectLabelKeys() {
  const auto add = [this](const auto& labels) {
    for (const auto& [key, value] : labels) client_label_keys_.insert(key);
  };
  for (const VirtualServicePtr& rule : virtual_services_) {
    for (const auto& route : rule->spec->http()) {
      for (const auto& match : route.match()) add(match.source_labels());
    }
    for (const auto& route : rule->spec->tcp()) {
      for (const auto& match : route.match()) add(match.source_labels());
    }
    for (const auto& route : rule->spec->tls()) {
      for (const auto& match : route.match()) add(match.source_labels());
    }
  }
  for (const DestinationRulePtr& rule : this->destination_rules()) add(rule->workload_selector);
  for (const SidecarPtr& sidecar : sidecars_) add(sidecar->selector);
  for (const GatewayPtr& gateway : gateways_) add(gateway->selector);
}

DestinationRulePtr RuleTable::FindRule(absl::string_view host, absl::string_view client_ns,
                                       absl::string_view service_ns, absl::string_view root_ns,
                                       const Labels& labels) const {
  const auto usable = [&](const DestinationRule& rule) {
    if (rule.meta.ns != client_ns && !rule.export_to.VisibleIn(client_ns)) return false;
    // Rules with a workload selector are for clients of their own namespace.
    return rule.workload_selector.empty() ||
           (rule.meta.ns == client_ns && LabelsMatch(rule.workload_selector, labels));
  };
  const auto pick = [&](const HostRules& place) -> DestinationRulePtr {
    const auto it =
        std::find_if(place.begin(), place.end(), [&](const auto& rule) { return usable(*rule); });
    return it == place.end() ? nullptr : *it;
  };
  const auto find_in = [&](absl::string_view ns) -> DestinationRulePtr {
    const auto rules = rules_.find(std::string(ns));
    if (rules == rules_.end()) return nullptr;
    const auto exact = rules->second.by_host.find(std::string(host));
    if (exact != rules->second.by_host.end()) {
      if (DestinationRulePtr rule = pick(exact->second)) return rule;
    }
    for (const std::string& wildcard : rules->second.wildcards) {
      if (!HostCovers(wildcard, host)) continue;
      if (DestinationRulePtr rule = pick(rules->second.by_host.at(wildcard))) return rule;
    }
    return nullptr;
  };
  if (client_ns != root_ns) {
    if (DestinationRulePtr rule = find_in(client_ns)) return rule;
  }
  if (service_ns != client_ns && service_ns != root_ns) {
    if (DestinationRulePtr rule = find_in(service_ns)) return rule;
  }
  return find_in(root_ns);
}

SidecarPtr RuleTable::FindSidecar(absl::string_view ns, absl::string_view root_ns,
                                  const Labels& labels) const {
  SidecarPtr of_namespace;
  SidecarPtr of_root;
  for (const SidecarPtr& sidecar : sidecars_) {
    if (sidecar->meta.ns == ns && !sidecar->selector.empty()) {
      if (LabelsMatch(sidecar->selector, labels)) return sidecar;
    } else if (sidecar->meta.ns == ns) {
      if (of_namespace == nullptr) of_namespace = sidecar;
    } else if (sidecar->meta.ns == root_ns && sidecar->selector.empty() && of_root == nullptr) {
      of_root = sidecar;
    }
  }
  return of_namespace != nullptr ? of_namespace : of_root;
}

}  // namespace meltemi::pilot
