#include "orchestrator/kubeproxy/model/tracker.h"

#include <algorithm>

#include "orchestrator/kubeproxy/model/select.h"

namespace meltemi::kubeproxy {

void Tracker::SetService(const kube::NamespacedName& key, std::optional<ServiceFacts> facts) {
  if (!facts && !services_.contains(key)) return;
  services_[key].facts = std::move(facts);
  dirty_.insert(key);
}

void Tracker::SetSlice(const kube::NamespacedName& service, const std::string& slice,
                       std::optional<SliceFacts> facts) {
  if (facts) {
    services_[service].slices[slice] = *std::move(facts);
  } else {
    const auto entry = services_.find(service);
    if (entry == services_.end() || entry->second.slices.erase(slice) == 0) return;
  }
  dirty_.insert(service);
}

std::vector<ServiceChange> Tracker::Take() {
  // First whose is what: that may change what others have.
  const std::set<kube::NamespacedName> first = dirty_;
  for (const kube::NamespacedName& key : first) UpdateClaims(*services_.find(key));
  std::vector<ServiceChange> changes;
  for (const kube::NamespacedName& key : dirty_) {
    const auto entry = services_.find(key);
    ServiceRulesPtr after = Resolve(*entry);
    ServiceRulesPtr& now = entry->second.rules;
    const bool same = after == nullptr || now == nullptr ? after == now : *after == *now;
    if (!same) changes.push_back({std::exchange(now, after), after});
    if (!entry->second.facts && entry->second.slices.empty()) services_.erase(entry);
  }
  dirty_.clear();
  return changes;
}

std::vector<ServiceRulesPtr> Tracker::All() const {
  std::vector<ServiceRulesPtr> all;
  for (const auto& [key, entry] : services_) {
    if (entry.rules != nullptr) all.push_back(entry.rules);
  }
  return all;
}

bool Tracker::Before(const Claim& a, const Claim& b) {
  if (a.cluster_ip != b.cluster_ip) return a.cluster_ip;
  return *a.service < *b.service;
}

std::vector<Tracker::Place> Tracker::PlacesOf(const ServiceFacts& facts) {
  std::vector<Place> places;
  for (const PortFacts& port : facts.ports) {
    places.push_back({facts.cluster_ip, port.protocol, port.port});
    for (Ipv4 ip : facts.external_ips) places.push_back({ip, port.protocol, port.port});
    for (Ipv4 ip : facts.load_balancer_ips) places.push_back({ip, port.protocol, port.port});
    if (port.node_port != 0) places.push_back({0, port.protocol, port.node_port});
  }
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  return places;
}

void Tracker::UpdateClaims(Entries::value_type& entry) {
  std::vector<Place> wanted;
  if (entry.second.facts) wanted = PlacesOf(*entry.second.facts);
  const Ipv4 cluster_ip = entry.second.facts ? entry.second.facts->cluster_ip : 0;
  // A service whose cluster IP is another now may have had the new one as an external IP.
  for (const Place& place : std::exchange(entry.second.claims, wanted)) {
    RemoveClaim(place, entry.first);
  }
  for (const Place& place : wanted) {
    AddClaim(place, {place.ip != 0 && place.ip == cluster_ip, &entry.first});
  }
}

void Tracker::AddClaim(const Place& place, const Claim& claim) {
  std::vector<Claim>& claims = claims_[place];
  const auto at = std::lower_bound(claims.begin(), claims.end(), claim, Before);
  if (at == claims.begin() && !claims.empty()) dirty_.insert(*claims[0].service);
  claims.insert(at, claim);
}

void Tracker::RemoveClaim(const Place& place, const kube::NamespacedName& service) {
  const auto found = claims_.find(place);
  if (found == claims_.end()) return;
  std::vector<Claim>& claims = found->second;
  const auto at = std::find_if(claims.begin(), claims.end(),
                               [&](const Claim& claim) { return *claim.service == service; });
  if (at == claims.end()) return;
  const bool was_first = at == claims.begin();
  claims.erase(at);
  if (claims.empty()) {
    claims_.erase(found);
  } else if (was_first) {
    dirty_.insert(*claims[0].service);
  }
}

bool Tracker::Owns(const Place& place, const kube::NamespacedName& service) const {
  const auto found = claims_.find(place);
  return found != claims_.end() && *found->second[0].service == service;
}

ServiceRulesPtr Tracker::Resolve(const Entries::value_type& entry) const {
  const std::optional<ServiceFacts>& facts = entry.second.facts;
  if (!facts) return nullptr;
  auto rules = std::make_shared<ServiceRules>();
  rules->key = entry.first;
  rules->cluster_ip = facts->cluster_ip;
  rules->affinity_s = facts->affinity_s;
  rules->internal_local = facts->internal_local;
  rules->external_local = facts->external_local;
  rules->source_ranges = facts->source_ranges;
  rules->health_check_port = facts->health_check_port;
  std::vector<const SliceFacts*> slices;
  for (const auto& [name, slice] : entry.second.slices) slices.push_back(&slice);
  for (const PortFacts& port : facts->ports) {
    rules->ports.push_back(ResolvePort(entry, port, slices));
  }
  if (rules->health_check_port != 0) rules->local_ready = LocalReady(entry.second);
  return rules;
}

PortRules Tracker::ResolvePort(const Entries::value_type& entry, const PortFacts& port,
                               const std::vector<const SliceFacts*>& slices) const {
  const ServiceFacts& facts = *entry.second.facts;
  const auto own = [&](const std::vector<Ipv4>& ips, const std::vector<Ipv4>& except) {
    std::vector<Ipv4> out;
    for (Ipv4 ip : ips) {
      if (ip == facts.cluster_ip || !Owns({ip, port.protocol, port.port}, entry.first)) continue;
      if (!std::binary_search(except.begin(), except.end(), ip)) out.push_back(ip);
    }
    return out;
  };
  PortRules rules;
  rules.name = port.name;
  rules.protocol = port.protocol;
  rules.port = port.port;
  rules.cluster_ip = Owns({facts.cluster_ip, port.protocol, port.port}, entry.first);
  if (port.node_port != 0 && Owns({0, port.protocol, port.node_port}, entry.first)) {
    rules.node_port = port.node_port;
  }
  // An address that is both is guarded by source ranges.
  rules.load_balancer_ips = own(facts.load_balancer_ips, {});
  rules.external_ips = own(facts.external_ips, facts.load_balancer_ips);
  SelectEndpoints(MergeEndpoints(slices, port), facts.internal_local, facts.external_local, rules);
  return rules;
}

int Tracker::LocalReady(const Entry& entry) const {
  std::set<Ipv4> ready;
  for (const auto& [name, slice] : entry.slices) {
    for (const EndpointFacts& endpoint : slice.endpoints) {
      if (endpoint.local && endpoint.ready) ready.insert(endpoint.ip);
    }
  }
  return static_cast<int>(ready.size());
}

}  // namespace meltemi::kubeproxy
