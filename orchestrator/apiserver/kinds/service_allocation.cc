#include "orchestrator/apiserver/kinds/service_allocation.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kube/object/object.h"
#include "orchestrator/apiserver/kinds/names.h"
#include "orchestrator/apiserver/kinds/service.h"
#include "orchestrator/apiserver/kinds/tree.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {
namespace {

using kube::FieldErrors;
using kube::FieldPath;

// No name of a service begins like this.
constexpr absl::string_view kNameless = "?";

// Beyond the request's own deadline: the store may still be writing.
constexpr Duration kReservationSlack = seconds(30);

// Addresses and ports that are asked for by number come from the lower part of a range, so that
// those that are given out at random rarely stand in the way.
uint32_t StaticPart(uint32_t count, uint32_t step, uint32_t most) {
  constexpr uint32_t kLeast = 16;
  return count <= kLeast ? 0 : std::min(std::max(kLeast, count / step), most);
}

std::optional<uint32_t> ParseIpv4(absl::string_view text) {
  const std::string bytes = IpBytes(text);
  if (bytes.size() != 4) return std::nullopt;
  uint32_t ip = 0;
  for (const char byte : bytes) ip = ip << 8 | static_cast<unsigned char>(byte);
  return ip;
}

std::string FormatIpv4(uint32_t ip) {
  return absl::StrCat(ip >> 24, ".", ip >> 16 & 0xff, ".", ip >> 8 & 0xff, ".", ip & 0xff);
}

// Whether the service is among those that have it; whether another one is.
template <typename Owners, typename Key>
bool Has(const Owners& owners, const Key& key, const kube::NamespacedName& service) {
  const auto at = owners.find(key);
  return at != owners.end() && at->second.count(service) > 0;
}
template <typename Owners, typename Key>
bool HasOther(const Owners& owners, const Key& key, const kube::NamespacedName& service) {
  const auto at = owners.find(key);
  return at != owners.end() && at->second.size() > at->second.count(service);
}

json::Value TextList(std::string text) {
  json::Value list = json::Value::Array();
  list.Append(json::Value::String(std::move(text)));
  return list;
}

}  // namespace

struct ServiceAllocation::Attempt {
  kube::NamespacedName service;
  json::Value& object;
  Held taken;
  FieldErrors errors;

  json::Value& spec() { return object.MutableObject("spec"); }
};

absl::StatusOr<std::unique_ptr<ServiceAllocation>> ServiceAllocation::Create(
    const ServiceRanges& ranges, const Clock& clock, std::unique_ptr<Random> random) {
  const std::vector<std::string> parts = absl::StrSplit(ranges.cluster_ip_cidr, '/');
  const std::optional<uint32_t> ip = ParseIpv4(parts[0]);
  int bits = 0;
  if (!IsCidr(ranges.cluster_ip_cidr) || !ip.has_value() || !absl::SimpleAtoi(parts[1], &bits) ||
      bits < 8 || bits > 30) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", ranges.cluster_ip_cidr,
                     "\" is no range of service addresses: give an IPv4 network of 8 to 30 bits, "
                     "such as 10.96.0.0/12"));
  }
  if (ranges.node_port_first < 1 || ranges.node_port_last > 65535 ||
      ranges.node_port_first > ranges.node_port_last) {
    return absl::InvalidArgumentError(
        absl::StrCat(ranges.node_port_first, "-", ranges.node_port_last,
                     " is no range of node ports: give one within 1-65535, such as 30000-32767"));
  }
  const uint32_t size = uint32_t{1} << (32 - bits);
  // Neither the network's nor its broadcast address.
  return std::unique_ptr<ServiceAllocation>(
      new ServiceAllocation(ranges, *ip & ~(size - 1), size - 2, clock, std::move(random)));
}

ServiceAllocation::ServiceAllocation(const ServiceRanges& ranges, uint32_t ip_base,
                                     uint32_t ip_count, const Clock& clock,
                                     std::unique_ptr<Random> random)
    : ranges_(ranges),
      ip_base_(ip_base),
      ip_count_(ip_count),
      clock_(clock),
      random_(std::move(random)) {}

std::string ServiceAllocation::FirstIp() const { return FormatIpv4(ip_base_ + 1); }

void ServiceAllocation::Follow(WatchCache& cache) {
  cache_ = &cache;
  services_known_ = false;
  cache.Observe({"", "services"}, [this](const CacheEvent& event) {
    if (event.type == CacheEvent::Type::kDeleted) {
      OnServiceGone({event.object->ns, event.object->name});
    } else {
      OnService(event.object->Tree());
    }
  });
}

void ServiceAllocation::OnService(const json::Value& service) {
  const kube::NamespacedName name = kube::NameOf(service);
  const json::Value& spec = Get(service, "spec");
  Held held;
  for (const json::Value& ip : Items(spec, "clusterIPs")) {
    if (const std::optional<uint32_t> v4 = ParseIpv4(ip.text())) held.ips.insert(*v4);
  }
  for (const json::Value& port : Items(spec, "ports")) {
    if (Int(port, "nodePort") != 0) held.ports.insert(Int(port, "nodePort"));
  }
  if (Int(spec, "healthCheckNodePort") != 0) held.ports.insert(Int(spec, "healthCheckNodePort"));

  const std::lock_guard<std::mutex> lock(mutex_);
  ForgetLocked(name);
  for (const uint32_t ip : held.ips) ip_owners_[ip].insert(name);
  for (const int64_t port : held.ports) port_owners_[port].insert(name);
  // What it shows needs no reservation; what it does not show may still be on its way.
  for (auto& [owner, reservation] : reservations_) {
    if (!(owner == name) && !absl::StartsWith(owner.name, kNameless)) continue;
    for (const uint32_t ip : held.ips) reservation.held.ips.erase(ip);
    for (const int64_t port : held.ports) reservation.held.ports.erase(port);
  }
  std::erase_if(reservations_, [](const auto& entry) {
    return entry.second.held.ips.empty() && entry.second.held.ports.empty();
  });
  services_[name] = std::move(held);
}

void ServiceAllocation::OnServiceGone(const kube::NamespacedName& service) {
  const std::lock_guard<std::mutex> lock(mutex_);
  ForgetLocked(service);
}

void ServiceAllocation::ForgetLocked(const kube::NamespacedName& service) {
  const auto known = services_.find(service);
  if (known == services_.end()) return;
  const auto drop = [&service](auto& owners, const auto& held) {
    for (const auto& one : held) {
      const auto owner = owners.find(one);
      if (owner == owners.end()) continue;
      owner->second.erase(service);
      if (owner->second.empty()) owners.erase(owner);
    }
  };
  drop(ip_owners_, known->second.ips);
  drop(port_owners_, known->second.ports);
  services_.erase(known);
}

bool ServiceAllocation::IpTakenLocked(uint32_t ip, const Attempt& attempt) const {
  if (HasOther(ip_owners_, ip, attempt.service)) return true;
  return std::any_of(reservations_.begin(), reservations_.end(), [&](const auto& entry) {
    return !(entry.first == attempt.service) && entry.second.held.ips.contains(ip);
  });
}

bool ServiceAllocation::PortTakenLocked(int64_t port, const Attempt& attempt) const {
  if (HasOther(port_owners_, port, attempt.service)) return true;
  return std::any_of(reservations_.begin(), reservations_.end(), [&](const auto& entry) {
    return !(entry.first == attempt.service) && entry.second.held.ports.contains(port);
  });
}

std::optional<uint32_t> ServiceAllocation::FreeIpLocked(const Attempt& attempt) {
  const auto reserved = reservations_.find(attempt.service);
  if (reserved != reservations_.end() && !reserved->second.held.ips.empty()) {
    return *reserved->second.held.ips.begin();  // an earlier try of the same write
  }
  const uint32_t fixed = StaticPart(ip_count_, 16, 256), random_part = ip_count_ - fixed;
  const uint32_t start = static_cast<uint32_t>(random_->Below(random_part));
  for (uint32_t i = 0; i < ip_count_; ++i) {
    const uint32_t offset = i < random_part ? fixed + (start + i) % random_part : i - random_part;
    const uint32_t ip = ip_base_ + 1 + offset;
    if (!IpTakenLocked(ip, attempt)) return ip;
  }
  return std::nullopt;
}

std::optional<int64_t> ServiceAllocation::FreePortLocked(const Attempt& attempt) {
  const auto reserved = reservations_.find(attempt.service);
  if (reserved != reservations_.end()) {
    for (const int64_t port : reserved->second.held.ports) {
      if (!attempt.taken.ports.contains(port)) return port;
    }
  }
  const uint32_t count =
      static_cast<uint32_t>(ranges_.node_port_last - ranges_.node_port_first + 1);
  const uint32_t fixed = StaticPart(count, 32, 128), random_part = count - fixed;
  const uint32_t start = static_cast<uint32_t>(random_->Below(random_part));
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t offset = i < random_part ? fixed + (start + i) % random_part : i - random_part;
    const int64_t port = ranges_.node_port_first + offset;
    const bool own = Has(port_owners_, port, attempt.service);
    if (!own && !attempt.taken.ports.contains(port) && !PortTakenLocked(port, attempt)) return port;
  }
  return std::nullopt;
}

void ServiceAllocation::FillFamiliesLocked(Attempt& attempt) {
  json::Value& spec = attempt.spec();
  const bool free_standing = Text(spec, "clusterIP") == "None" && Members(spec, "selector").empty();
  if (!Has(spec, "ipFamilyPolicy")) {
    spec.Set("ipFamilyPolicy",
             json::Value::String(free_standing ? "RequireDualStack" : "SingleStack"));
  }
  const std::string policy(Text(spec, "ipFamilyPolicy"));
  const FieldPath path("spec");
  if (policy == "SingleStack") {
    for (const auto& [key, what] :
         {std::pair<const char*, const char*>{"clusterIPs", "cluster IPs"},
          {"ipFamilies", "IP families"}}) {
      if (Items(spec, key).size() != 2) continue;
      attempt.errors.push_back(kube::InvalidField(
          path.Child("ipFamilyPolicy"), absl::string_view(policy),
          absl::StrCat("must be 'RequireDualStack' or 'PreferDualStack' when multiple ", what,
                       " are specified")));
    }
  }
  const std::vector<json::Value>& ips = Items(spec, "clusterIPs");
  for (size_t i = 0; i < ips.size(); ++i) {
    if (i < Items(spec, "ipFamilies").size() || !IsIpv6(ips[i].text())) continue;
    attempt.errors.push_back(InvalidPrinted(path.Child("clusterIPs").Index(i),
                                            GoTextList(Get(spec, "clusterIPs")),
                                            "IPv6 is not configured on this cluster"));
  }
  if (Items(spec, "ipFamilies").empty()) spec.Set("ipFamilies", TextList("IPv4"));
  if (free_standing) {
    // Its addresses are its author's matter, of whatever family.
    std::vector<json::Value>* families = MutableItems(spec, "ipFamilies");
    if (policy != "SingleStack" && families != nullptr && families->size() == 1) {
      const bool v4 = (*families)[0].text() == "IPv4";
      families->push_back(json::Value::String(v4 ? "IPv6" : "IPv4"));
    }
    return;
  }
  if (policy == "RequireDualStack") {
    attempt.errors.push_back(
        kube::InvalidField(path.Child("ipFamilyPolicy"), absl::string_view(policy),
                           "this cluster is not configured for dual-stack services"));
  }
  const std::vector<json::Value>& families = Items(spec, "ipFamilies");
  for (size_t i = 0; i < families.size(); ++i) {
    if (families[i].text() != "IPv6") continue;
    attempt.errors.push_back(kube::InvalidField(path.Child("ipFamilies").Index(i), families[i],
                                                "not configured on this cluster"));
  }
}

void ServiceAllocation::FillIpLocked(Attempt& attempt) {
  json::Value& spec = attempt.spec();
  const std::string wanted(Text(spec, "clusterIP"));
  if (wanted == "None") return;
  if (wanted.empty()) {
    if (!Items(spec, "clusterIPs").empty()) return;  // refused by validation
    const std::optional<uint32_t> ip = FreeIpLocked(attempt);
    if (!ip.has_value()) {
      attempt.errors.push_back(InvalidPrinted(FieldPath("spec").Child("clusterIPs"),
                                              "[]string(nil)",
                                              "failed to allocate a serviceIP: range is full"));
      return;
    }
    attempt.taken.ips.insert(*ip);
    spec.Set("clusterIP", json::Value::String(FormatIpv4(*ip)));
    spec.Set("clusterIPs", TextList(FormatIpv4(*ip)));
    return;
  }
  const std::optional<uint32_t> ip = ParseIpv4(wanted);
  if (!ip.has_value()) return;
  if (Has(ip_owners_, *ip, attempt.service)) return;
  std::string wrong;
  if (*ip <= ip_base_ || *ip > ip_base_ + ip_count_) {
    wrong = absl::StrCat("the provided IP (", wanted,
                         ") is not in the valid range. The range of valid IPs is ",
                         ranges_.cluster_ip_cidr);
  } else if (IpTakenLocked(*ip, attempt)) {
    wrong = "provided IP is already allocated";
  }
  if (wrong.empty()) {
    attempt.taken.ips.insert(*ip);
    return;
  }
  attempt.errors.push_back(
      InvalidPrinted(FieldPath("spec").Child("clusterIPs"), GoTextList(Get(spec, "clusterIPs")),
                     absl::StrCat("failed to allocate IP ", wanted, ": ", wrong)));
}

void ServiceAllocation::TakePortLocked(int64_t port, const FieldPath& path, Attempt& attempt) {
  if (Has(port_owners_, port, attempt.service)) return;
  if (port < ranges_.node_port_first || port > ranges_.node_port_last) {
    attempt.errors.push_back(kube::InvalidField(
        path, port,
        absl::StrCat("provided port is not in the valid range. The range of valid ports is ",
                     ranges_.node_port_first, "-", ranges_.node_port_last)));
  } else if (PortTakenLocked(port, attempt)) {
    attempt.errors.push_back(kube::InvalidField(path, port, "provided port is already allocated"));
  } else {
    attempt.taken.ports.insert(port);
  }
}

void ServiceAllocation::FillPortsLocked(Attempt& attempt) {
  json::Value& spec = attempt.spec();
  const bool give =
      Text(spec, "type") != "LoadBalancer" || Bool(spec, "allocateLoadBalancerNodePorts", true);
  std::vector<json::Value>* ports = MutableItems(spec, "ports");
  const FieldPath path = FieldPath("spec").Child("ports");
  // One node port serves a service's port in all protocols.
  std::map<int64_t, int64_t> by_port;
  for (size_t i = 0; ports != nullptr && i < ports->size(); ++i) {
    const int64_t node_port = Int((*ports)[i], "nodePort");
    if (node_port == 0) continue;
    TakePortLocked(node_port, path.Index(i).Child("nodePort"), attempt);
    by_port.emplace(Int((*ports)[i], "port"), node_port);
  }
  for (size_t i = 0; give && ports != nullptr && i < ports->size(); ++i) {
    json::Value& port = (*ports)[i];
    if (!port.is_object() || Int(port, "nodePort") != 0) continue;
    const auto same = by_port.find(Int(port, "port"));
    std::optional<int64_t> node_port;
    if (same != by_port.end()) {
      node_port = same->second;
    } else {
      node_port = FreePortLocked(attempt);
    }
    if (!node_port.has_value()) {
      attempt.errors.push_back(kube::InvalidField(path.Index(i).Child("nodePort"), int64_t{0},
                                                  "failed to allocate a nodePort: range is full"));
      return;
    }
    attempt.taken.ports.insert(*node_port);
    by_port.emplace(Int(port, "port"), *node_port);
    port.Set("nodePort", json::Value::Int(*node_port));
  }
}

kube::Outcome ServiceAllocation::WaitForServices() {
  if (services_known_) return kube::Done{};
  kube::Outcome fresh = cache_->WaitFresh();
  if (fresh.ok()) services_known_ = true;
  return fresh;
}

std::vector<ServiceAllocation::Trouble> ServiceAllocation::Troubles() {
  std::vector<Trouble> out;
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [ip, owners] : ip_owners_) {
    const std::string shown = absl::StrCat("Cluster IP [IPv4]:", FormatIpv4(ip));
    const bool outside = ip <= ip_base_ || ip > ip_base_ + ip_count_;
    for (auto owner = owners.begin(); owner != owners.end(); ++owner) {
      if (outside) {
        out.push_back({*owner, false, "ClusterIPOutOfRange",
                       absl::StrCat(shown, " is not within the service CIDR ",
                                    ranges_.cluster_ip_cidr, "; please recreate service")});
      } else if (owner != owners.begin()) {
        out.push_back(
            {*owner, false, "ClusterIPAlreadyAllocated",
             absl::StrCat(shown, " was assigned to multiple services; please recreate service")});
      }
    }
  }
  for (const auto& [port, owners] : port_owners_) {
    const bool outside = port < ranges_.node_port_first || port > ranges_.node_port_last;
    for (auto owner = owners.begin(); owner != owners.end(); ++owner) {
      if (outside) {
        out.push_back(
            {*owner, true, "PortOutOfRange",
             absl::StrCat("Port ", port, " is not within the port range ", ranges_.node_port_first,
                          "-", ranges_.node_port_last, "; please recreate service")});
      } else if (owner != owners.begin()) {
        out.push_back({*owner, true, "PortAlreadyAllocated",
                       absl::StrCat("Port ", port, " was assigned to multiple services; please ",
                                    "recreate service")});
      }
    }
  }
  return out;
}

kube::Outcome ServiceAllocation::Mutate(AdmissionRequest& request) {
  const bool writes =
      request.operation == Operation::kCreate || request.operation == Operation::kUpdate;
  if (!writes || request.resource == nullptr || !request.resource->group.empty() ||
      request.resource->plural != "services" || !request.subresource.empty() ||
      !request.object.is_object() || !Get(request.object, "spec").is_object() ||
      !NeedsClusterIp(request.object)) {
    return kube::Done{};
  }
  if (kube::Outcome known = WaitForServices(); !known.ok()) return known;
  if (request.operation == Operation::kUpdate) {
    PrepareServiceUpdate(request.old_object, request.object);
  }
  const std::string name(kube::Name(request.object));
  const std::lock_guard<std::mutex> lock(mutex_);
  const MonotonicTime now = clock_.Now();
  std::erase_if(reservations_, [now](const auto& entry) { return entry.second.expires <= now; });
  Attempt attempt{.service = {request.ns, name}, .object = request.object};
  // Its name will be generated: nobody else's write must look like another try of this one.
  if (name.empty()) attempt.service.name = absl::StrCat(kNameless, ++nameless_count_);
  FillFamiliesLocked(attempt);
  if (attempt.errors.empty()) FillIpLocked(attempt);
  if (NeedsNodePorts(request.object)) FillPortsLocked(attempt);
  if (NeedsHealthCheckPort(request.object)) {
    json::Value& spec = attempt.spec();
    const int64_t wanted = Int(spec, "healthCheckNodePort");
    if (wanted != 0) {
      TakePortLocked(wanted, FieldPath("spec").Child("healthCheckNodePort"), attempt);
    } else if (const std::optional<int64_t> port = FreePortLocked(attempt)) {
      attempt.taken.ports.insert(*port);
      spec.Set("healthCheckNodePort", json::Value::Int(*port));
    }
  }
  if (!attempt.errors.empty()) {
    return kube::Invalid(request.resource->gvk(), name, attempt.errors);
  }
  const bool took = !attempt.taken.ips.empty() || !attempt.taken.ports.empty();
  if (!request.dry_run && took) {
    reservations_[attempt.service] = {
        .held = std::move(attempt.taken),
        .expires = std::max(request.deadline, now) + kReservationSlack};
  }
  return kube::Done{};
}

}  // namespace meltemi::apiserver
