// Whether containers that nobody probes listen already. A container without readiness and startup
// probe counts as ready once it listens on the TCP ports that it declares, at the latest after two
// seconds: a Service would lead clients to a closed port until then (docs/decisions/
// kubelet-differences.md).
//
// Threads: thread-safe; works on the executor's.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "kube/executor/executor.h"
#include "kube/queue/controller.h"
#include "orchestrator/kubelet/pods/pod_state.h"
#include "orchestrator/kubelet/probes/network_prober.h"

namespace meltemi::kube::core::v1 {
class Container;
class Pod;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

inline constexpr Duration kListenWait = seconds(2);
inline constexpr Duration kListenPeriod = milliseconds(20);

class Listening {
 public:
  // `on_change` is told of pods with a container that counts as listening from now on.
  Listening(NetworkProber& network, kube::Executor& executor,
            std::function<void(const std::string& pod_uid)> on_change);
  ~Listening();

  // `ip`: the pod's. Containers that ran before this kubelet are not asked.
  void Sync(const kube::core::v1::Pod& pod, const PodState& state, const std::string& ip);
  void Forget(const std::string& pod_uid);
  // Of a container that Sync has seen running.
  bool Listens(const std::string& container_id) const;

 private:
  struct Waiting {
    std::string pod_uid, ip;
    std::vector<uint16_t> ports;  // that nobody has listened on yet
    MonotonicTime until{};
    bool asked = false;
  };
  // What answers are told to, which may come after the end.
  struct Shared {
    std::mutex mutex;
    std::map<std::string, Waiting> waiting;  // by the container's id
    kube::Controller* controller = nullptr;  // null: nobody listens any more
  };
  kube::ReconcileResult Work(const kube::NamespacedName& key);
  void Begin(const kube::core::v1::Container& container, const ContainerState& state,
             const std::string& pod_uid, const std::string& ip);

  NetworkProber& network_;
  kube::Executor& executor_;
  const std::function<void(const std::string&)> on_change_;
  const WallTime began_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::map<std::string, std::set<std::string>> known_;  // containers by pod; guarded by the mutex
  std::unique_ptr<kube::Controller> controller_;
};

}  // namespace meltemi::kubelet
