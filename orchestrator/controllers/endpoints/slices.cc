#include "orchestrator/controllers/endpoints/slices.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/controllers/runtime/owners.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Pod;
using kube::core::v1::Service;
using kube::core::v1::ServicePort;
using kube::discovery::v1::Endpoint;
using kube::discovery::v1::EndpointPort;
using kube::discovery::v1::EndpointSlice;
using StringMap = google::protobuf::Map<std::string, std::string>;

std::string PortKey(const EndpointPort& port) {
  return absl::StrCat(port.name(), "|", port.protocol(), "|", port.port(), "|",
                      port.app_protocol());
}

template <typename Ports>
std::string KeyOf(const Ports& ports) {
  std::vector<std::string> keys;
  for (const EndpointPort& port : ports) keys.push_back(PortKey(port));
  std::sort(keys.begin(), keys.end());
  std::string out;
  for (const std::string& key : keys) absl::StrAppend(&out, key, "\n");
  return out;
}

// An endpoint is the same one as long as it is the same pod at the same address.
std::string EndpointKey(const Endpoint& endpoint) {
  return absl::StrCat(endpoint.target_ref().uid(), "|",
                      endpoint.addresses().empty() ? "" : endpoint.addresses(0));
}

bool SameMap(const StringMap& a, const StringMap& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&b](const auto& entry) {
           const auto found = b.find(entry.first);
           return found != b.end() && found->second == entry.second;
         });
}

bool SameHints(const Endpoint& a, const Endpoint& b) {
  if (a.hints().for_zones_size() != b.hints().for_zones_size()) return false;
  for (int i = 0; i < a.hints().for_zones_size(); ++i) {
    if (a.hints().for_zones(i).name() != b.hints().for_zones(i).name()) return false;
  }
  return true;
}

bool SameEndpoint(const Endpoint& a, const Endpoint& b) {
  return EndpointKey(a) == EndpointKey(b) && a.conditions().ready() == b.conditions().ready() &&
         a.conditions().serving() == b.conditions().serving() &&
         a.conditions().terminating() == b.conditions().terminating() &&
         a.hostname() == b.hostname() && a.node_name() == b.node_name() && a.zone() == b.zone() &&
         a.target_ref().name() == b.target_ref().name() && SameHints(a, b);
}

std::vector<EndpointPort> PortsOf(const Service& service, const Pod& pod) {
  std::vector<EndpointPort> out;
  for (const ServicePort& port : service.spec().ports()) {
    const std::optional<int32_t> target = TargetPort(pod, port);
    if (!target.has_value()) continue;
    EndpointPort& added = out.emplace_back();
    added.set_name(port.name());
    added.set_protocol(port.protocol().empty() ? "TCP" : port.protocol());
    added.set_port(*target);
    if (port.has_app_protocol()) added.set_app_protocol(port.app_protocol());
  }
  return out;
}

Endpoint EndpointOf(const Service& service, const Pod& pod, std::string address,
                    absl::string_view zone) {
  Endpoint out;
  out.add_addresses(std::move(address));
  const bool serving = IsReady(pod);
  const bool terminating = pod.metadata().has_deletion_timestamp();
  out.mutable_conditions()->set_ready(service.spec().publish_not_ready_addresses() ||
                                      (serving && !terminating));
  out.mutable_conditions()->set_serving(serving);
  out.mutable_conditions()->set_terminating(terminating);
  *out.mutable_target_ref() = TargetOf(pod);
  if (!pod.spec().node_name().empty()) out.set_node_name(pod.spec().node_name());
  if (!zone.empty()) out.set_zone(std::string(zone));
  if (std::string hostname = HostnameOf(pod, service); !hostname.empty()) {
    out.set_hostname(std::move(hostname));
  }
  if (service.spec().traffic_distribution() == "PreferClose" && out.conditions().ready() &&
      !zone.empty()) {
    out.mutable_hints()->add_for_zones()->set_name(std::string(zone));
  }
  return out;
}

// Labels that slices have beside the service's own, which must not take their place.
bool IsReserved(absl::string_view key) {
  return key == kServiceNameLabel || key == kManagedByLabel || key == kHeadlessLabel;
}

StringMap LabelsOf(const Service& service) {
  StringMap out;
  for (const auto& [key, value] : service.metadata().labels()) {
    if (!IsReserved(key)) out[key] = value;
  }
  out[kServiceNameLabel] = service.metadata().name();
  out[kManagedByLabel] = kManagedBy;
  if (IsHeadless(service)) out[kHeadlessLabel] = "";
  return out;
}

EndpointSlice NewSlice(const Service& service, absl::string_view family,
                       const std::vector<EndpointPort>& ports) {
  EndpointSlice out;
  kube::meta::v1::ObjectMeta* meta = out.mutable_metadata();
  meta->set_generate_name(SliceNamePrefix(service.metadata().name()));
  meta->set_namespace_(service.metadata().namespace_());
  *meta->mutable_labels() = LabelsOf(service);
  *meta->add_owner_references() = ControllerReference(service);
  out.set_address_type(std::string(family));
  for (const EndpointPort& port : ports) *out.add_ports() = port;
  return out;
}

// The slices of one group of ports, and what becomes of them.
class GroupPlan {
 public:
  GroupPlan(const Service& service, absl::string_view family, const StringMap& labels,
            SlicePlan* plan)
      : service_(service), family_(family), labels_(labels), plan_(*plan) {}

  void Make(PortGroup group, const std::vector<SlicePtr>& existing) {
    for (Endpoint& endpoint : group.endpoints) {
      std::string key = EndpointKey(endpoint);
      wanted_.emplace(std::move(key), std::move(endpoint));
    }
    for (const SlicePtr& slice : existing) Revise(slice);
    std::vector<Endpoint> rest;
    for (auto& [key, endpoint] : wanted_) {
      if (taken_.count(key) == 0) rest.push_back(std::move(endpoint));
    }
    Fill(std::move(rest), group.ports);
    for (EndpointSlice& slice : changed_) plan_.update.push_back(std::move(slice));
  }

 private:
  // Drops what is not wanted any more from a slice, and brings the rest up to date.
  void Revise(const SlicePtr& slice) {
    EndpointSlice revised = *slice;
    bool differs = !SameMap(labels_, slice->metadata().labels());
    bool dropped = false;
    revised.clear_endpoints();
    for (const Endpoint& endpoint : slice->endpoints()) {
      const std::string key = EndpointKey(endpoint);
      const auto found = wanted_.find(key);
      if (found == wanted_.end() || !taken_.insert(key).second) {
        dropped = true;
        continue;
      }
      differs |= !SameEndpoint(endpoint, found->second);
      *revised.add_endpoints() = found->second;
    }
    if (revised.endpoints_size() == 0) {
      plan_.remove.push_back(slice);
    } else if (differs || dropped) {
      *revised.mutable_metadata()->mutable_labels() = labels_;
      changed_.push_back(std::move(revised));
    } else {
      unchanged_.push_back(slice);
    }
  }

  void Fill(std::vector<Endpoint> rest, const std::vector<EndpointPort>& ports) {
    size_t next = 0;
    const auto pour = [&](EndpointSlice* slice) {
      while (next < rest.size() && slice->endpoints_size() < kEndpointsPerSlice) {
        *slice->add_endpoints() = std::move(rest[next++]);
      }
    };
    // Fullest first: what is written anyway takes as much as it can.
    std::sort(changed_.begin(), changed_.end(),
              [](const auto& a, const auto& b) { return a.endpoints_size() > b.endpoints_size(); });
    for (EndpointSlice& slice : changed_) pour(&slice);
    while (next < rest.size()) {
      const int left = static_cast<int>(rest.size() - next);
      const SlicePtr room = left < kEndpointsPerSlice ? FullestWithRoom(left) : nullptr;
      if (room != nullptr) {
        EndpointSlice slice = *room;
        *slice.mutable_metadata()->mutable_labels() = labels_;
        pour(&slice);
        plan_.update.push_back(std::move(slice));
      } else {
        EndpointSlice slice = NewSlice(service_, family_, ports);
        pour(&slice);
        plan_.create.push_back(std::move(slice));
      }
    }
  }

  SlicePtr FullestWithRoom(int count) const {
    SlicePtr best;
    for (const SlicePtr& slice : unchanged_) {
      if (slice->endpoints_size() + count > kEndpointsPerSlice) continue;
      if (best == nullptr || slice->endpoints_size() > best->endpoints_size()) best = slice;
    }
    return best;
  }

  const Service& service_;
  const absl::string_view family_;
  const StringMap& labels_;
  SlicePlan& plan_;
  std::map<std::string, Endpoint> wanted_;
  std::set<std::string> taken_;
  std::vector<EndpointSlice> changed_;
  std::vector<SlicePtr> unchanged_;
};

// A slice that says: this service is known, and there is nothing behind it.
void KeepPlaceholder(const Service& service, absl::string_view family, const StringMap& labels,
                     size_t existing, SlicePlan* plan) {
  if (!plan->create.empty() || !plan->update.empty() || existing > plan->remove.size()) return;
  for (auto at = plan->remove.begin(); at != plan->remove.end(); ++at) {
    const bool empty = (*at)->endpoints_size() == 0 && (*at)->ports_size() == 0;
    if (!empty || !SameMap((*at)->metadata().labels(), labels)) continue;
    plan->remove.erase(at);
    return;
  }
  plan->create.push_back(NewSlice(service, family, {}));
}

}  // namespace

std::string PortsKey(
    const google::protobuf::RepeatedPtrField<kube::discovery::v1::EndpointPort>& ports) {
  return KeyOf(ports);
}

std::string SliceNamePrefix(const std::string& service) {
  return absl::StrCat(service.substr(0, 57), "-");
}

Backends GroupBackends(const Service& service, const std::vector<PodPtr>& pods,
                       absl::string_view family, const kube::Lister<kube::core::v1::Node>& nodes) {
  Backends out;
  std::map<std::string, size_t> by_ports;
  for (const PodPtr& pod : pods) {
    if (!IsBackend(*pod, true)) continue;
    std::string address = AddressOf(*pod, family);
    if (address.empty()) continue;
    std::string zone;
    if (!pod->spec().node_name().empty()) {
      const auto node = nodes.Get("", pod->spec().node_name());
      if (node == nullptr) {
        out.missing_nodes.push_back(pod->spec().node_name());
        continue;
      }
      const auto label = node->metadata().labels().find("topology.kubernetes.io/zone");
      if (label != node->metadata().labels().end()) zone = label->second;
    }
    std::vector<EndpointPort> ports = PortsOf(service, *pod);
    // Only what is headless has endpoints without ports.
    if (ports.empty() && !(IsHeadless(service) && service.spec().ports_size() == 0)) continue;
    const auto [at, added] = by_ports.try_emplace(KeyOf(ports), out.groups.size());
    if (added) out.groups.push_back({std::move(ports), {}});
    out.groups[at->second].endpoints.push_back(EndpointOf(service, *pod, std::move(address), zone));
  }
  return out;
}

SlicePlan PlanSlices(const Service& service, absl::string_view family,
                     std::vector<PortGroup> groups, const std::vector<SlicePtr>& existing) {
  SlicePlan plan;
  const StringMap labels = LabelsOf(service);
  std::map<std::string, std::vector<SlicePtr>> by_ports;
  for (const SlicePtr& slice : existing) by_ports[PortsKey(slice->ports())].push_back(slice);
  for (PortGroup& group : groups) {
    std::vector<SlicePtr> own;
    if (const auto at = by_ports.find(KeyOf(group.ports)); at != by_ports.end()) {
      own = std::move(at->second);
      by_ports.erase(at);
    }
    GroupPlan(service, family, labels, &plan).Make(std::move(group), own);
  }
  for (const auto& [ports, slices] : by_ports) {
    plan.remove.insert(plan.remove.end(), slices.begin(), slices.end());
  }
  KeepPlaceholder(service, family, labels, existing.size(), &plan);
  return plan;
}

}  // namespace meltemi::controllers
