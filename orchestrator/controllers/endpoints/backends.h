// Pods as what stands behind a Service: which count, at which ports, and when that has changed.
//
// Threads: functions without state; TriggerTimes is thread-safe.
// Source: the rules of Kubernetes' pkg/controller/{endpoint,endpointslice}.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/service.pb.h"
#include "kube/informer/informer.h"
#include "kube/names/names.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {

using ServicePtr = std::shared_ptr<const kube::core::v1::Service>;

inline constexpr char kHeadlessLabel[] = "service.kubernetes.io/headless";
// Locks of old leader elections look like endpoints of services that are gone.
inline constexpr char kLeaderAnnotation[] = "control-plane.alpha.kubernetes.io/leader";
inline constexpr char kTriggerTimeAnnotation[] = "endpoints.kubernetes.io/last-change-trigger-time";

bool IsHeadless(const kube::core::v1::Service& service);
// Its pods are found by a selector; else its endpoints are somebody else's matter.
bool HasBackends(const kube::core::v1::Service& service);
// `terminating`: those that are being deleted count, too.
bool IsBackend(const kube::core::v1::Pod& pod, bool terminating);
// Of the service's namespace, those that its selector matches; sorted by name.
std::vector<PodPtr> BackendsOf(const kube::core::v1::Service& service,
                               const kube::Lister<kube::core::v1::Pod>& pods);

// The container port that a port of the service leads to; nullopt: the pod has none of that name.
std::optional<int32_t> TargetPort(const kube::core::v1::Pod& pod,
                                  const kube::core::v1::ServicePort& port);
// The pod's address of the family ("IPv4", "IPv6"); empty: none.
std::string AddressOf(const kube::core::v1::Pod& pod, absl::string_view family);
// Empty: the pod has no name of its own within the service.
std::string HostnameOf(const kube::core::v1::Pod& pod, const kube::core::v1::Service& service);
// Pod, namespace, name and uid.
kube::core::v1::ObjectReference TargetOf(const kube::core::v1::Pod& pod);

// Services that the change of a pod concerns: those that matched it before, or do now. Empty when
// nothing has changed that endpoints show.
std::vector<kube::NamespacedName> ServicesOf(const kube::Change& pod_change,
                                             const kube::Lister<kube::core::v1::Service>& services);

// When the first of the changes took place that a service's endpoints are about to show: what
// people measure the delay of the network's programming from.
class TriggerTimes {
 public:
  // "2026-01-02T03:04:05Z"; nullopt: nothing of it has changed since the last call.
  std::optional<std::string> Next(const kube::core::v1::Service& service,
                                  const std::vector<PodPtr>& pods);
  void Drop(const kube::NamespacedName& service);

 private:
  std::mutex mutex_;
  struct Seen {
    int64_t service_s = 0;
    std::map<std::string, int64_t> pods_s;
  };
  std::map<kube::NamespacedName, Seen> seen_;
};

}  // namespace meltemi::controllers
