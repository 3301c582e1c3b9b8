#include "orchestrator/controllers/endpoints/backends.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "kube/object/object.h"
#include "orchestrator/controllers/runtime/owners.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Container;
using kube::core::v1::ContainerPort;
using kube::core::v1::Pod;
using kube::core::v1::Service;
using kube::core::v1::ServicePort;
using StringMap = google::protobuf::Map<std::string, std::string>;

absl::string_view ProtocolOf(const std::string& protocol) {
  return protocol.empty() ? absl::string_view("TCP") : absl::string_view(protocol);
}

bool SameMap(const StringMap& a, const StringMap& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&b](const auto& entry) {
           const auto found = b.find(entry.first);
           return found != b.end() && found->second == entry.second;
         });
}

bool SameAddresses(const Pod& a, const Pod& b) {
  if (a.status().pod_ip() != b.status().pod_ip() ||
      a.status().pod_ips_size() != b.status().pod_ips_size()) {
    return false;
  }
  for (int i = 0; i < a.status().pod_ips_size(); ++i) {
    if (a.status().pod_ips(i).ip() != b.status().pod_ips(i).ip()) return false;
  }
  return true;
}

// Whether endpoints show the two alike, whichever service they are behind.
bool LooksAlike(const Pod& a, const Pod& b) {
  return a.metadata().uid() == b.metadata().uid() && IsReady(a) == IsReady(b) &&
         a.metadata().has_deletion_timestamp() == b.metadata().has_deletion_timestamp() &&
         IsFinished(a) == IsFinished(b) && SameAddresses(a, b) &&
         a.spec().node_name() == b.spec().node_name() &&
         a.spec().hostname() == b.spec().hostname() &&
         a.spec().subdomain() == b.spec().subdomain() &&
         SameMap(a.metadata().labels(), b.metadata().labels());
}

bool Selects(const Service& service, const Pod& pod) {
  const StringMap& labels = pod.metadata().labels();
  for (const auto& [key, value] : service.spec().selector()) {
    const auto found = labels.find(key);
    if (found == labels.end() || found->second != value) return false;
  }
  return true;
}

bool IsV6(absl::string_view address) { return absl::StrContains(address, ':'); }

int64_t ReadySince(const Pod& pod) {
  const kube::core::v1::PodCondition* ready = FindCondition(pod, "Ready");
  return ready == nullptr ? 0 : ready->last_transition_time().seconds();
}

}  // namespace

bool IsHeadless(const Service& service) { return service.spec().cluster_ip() == "None"; }

bool HasBackends(const Service& service) {
  return !service.spec().selector().empty() && service.spec().type() != "ExternalName";
}

bool IsBackend(const Pod& pod, bool terminating) {
  if (IsFinished(pod) || (pod.status().pod_ip().empty() && pod.status().pod_ips_size() == 0)) {
    return false;
  }
  return terminating || !pod.metadata().has_deletion_timestamp();
}

std::vector<PodPtr> BackendsOf(const Service& service, const kube::Lister<Pod>& pods) {
  std::vector<PodPtr> out;
  for (PodPtr& pod : pods.List(service.metadata().namespace_())) {
    if (Selects(service, *pod)) out.push_back(std::move(pod));
  }
  return out;
}

std::optional<int32_t> TargetPort(const Pod& pod, const ServicePort& port) {
  const kube::intstr::IntOrString& target = port.target_port();
  if (target.type() == 0) return target.int_val() == 0 ? port.port() : target.int_val();
  const auto named = [&](const Container& container) -> std::optional<int32_t> {
    for (const ContainerPort& candidate : container.ports()) {
      if (candidate.name() == target.str_val() &&
          ProtocolOf(candidate.protocol()) == ProtocolOf(port.protocol())) {
        return candidate.container_port();
      }
    }
    return std::nullopt;
  };
  for (const Container& container : pod.spec().containers()) {
    if (const auto found = named(container)) return found;
  }
  // Sidecars serve, too.
  for (const Container& container : pod.spec().init_containers()) {
    if (container.restart_policy() != "Always") continue;
    if (const auto found = named(container)) return found;
  }
  return std::nullopt;
}

std::string AddressOf(const Pod& pod, absl::string_view family) {
  for (const kube::core::v1::PodIP& ip : pod.status().pod_ips()) {
    if (IsV6(ip.ip()) == (family == "IPv6")) return ip.ip();
  }
  const std::string& only = pod.status().pod_ip();
  const bool fits = pod.status().pod_ips_size() == 0 && IsV6(only) == (family == "IPv6");
  return fits ? only : "";
}

std::string HostnameOf(const Pod& pod, const Service& service) {
  return pod.spec().subdomain() == service.metadata().name() ? pod.spec().hostname() : "";
}

kube::core::v1::ObjectReference TargetOf(const Pod& pod) {
  kube::core::v1::ObjectReference out;
  out.set_kind("Pod");
  out.set_namespace_(pod.metadata().namespace_());
  out.set_name(pod.metadata().name());
  out.set_uid(pod.metadata().uid());
  return out;
}

std::vector<kube::NamespacedName> ServicesOf(const kube::Change& change,
                                             const kube::Lister<Service>& services) {
  const Pod* before = static_cast<const Pod*>(change.before.get());
  const Pod* after = static_cast<const Pod*>(change.after.get());
  if (before != nullptr && after != nullptr && LooksAlike(*before, *after)) return {};
  const Pod& any = after != nullptr ? *after : *before;
  std::vector<kube::NamespacedName> out;
  for (const ServicePtr& service : services.List(any.metadata().namespace_())) {
    if (!HasBackends(*service)) continue;
    const bool concerned = (before != nullptr && Selects(*service, *before)) ||
                           (after != nullptr && Selects(*service, *after));
    if (concerned) {
      out.push_back({service->metadata().namespace_(), service->metadata().name()});
    }
  }
  return out;
}

std::optional<std::string> TriggerTimes::Next(const Service& service,
                                              const std::vector<PodPtr>& pods) {
  const kube::NamespacedName key{service.metadata().namespace_(), service.metadata().name()};
  const std::lock_guard<std::mutex> lock(mutex_);
  Seen& seen = seen_[key];
  int64_t first_s = 0;
  const auto consider = [&first_s](int64_t at_s) {
    if (at_s != 0 && (first_s == 0 || at_s < first_s)) first_s = at_s;
  };
  std::map<std::string, int64_t> now_s;
  for (const PodPtr& pod : pods) {
    if (!IsBackend(*pod, true)) continue;
    const int64_t since_s = ReadySince(*pod);
    const auto before = seen.pods_s.find(pod->metadata().name());
    if (before == seen.pods_s.end() || since_s > before->second) consider(since_s);
    now_s[pod->metadata().name()] = since_s;
  }
  seen.pods_s = std::move(now_s);
  const int64_t created_s = service.metadata().creation_timestamp().seconds();
  if (created_s > seen.service_s) {
    // A service that is new is the cause of its endpoints, however old its pods are.
    first_s = created_s;
    seen.service_s = created_s;
  }
  if (first_s == 0) return std::nullopt;
  return kube::FormatTime(first_s);
}

void TriggerTimes::Drop(const kube::NamespacedName& service) {
  const std::lock_guard<std::mutex> lock(mutex_);
  seen_.erase(service);
}

}  // namespace meltemi::controllers
