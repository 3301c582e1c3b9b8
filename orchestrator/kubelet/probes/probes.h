// Startup, liveness and readiness probes, and the lifecycle handlers, which are the same kinds of
// calls: exec, httpGet, tcpSocket, grpc, sleep.
//
// Threads: thread-safe; work and ends are told on the executor's threads; nothing blocks a thread
// while it waits for a container. Source: pkg/kubelet/prober, pkg/probe, pkg/kubelet/lifecycle (all
// fields, defaults, messages of Unhealthy, ProbeWarning, FailedPostStartHook, FailedPreStopHook).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/metrics/metrics.h"
#include "base/random/random.h"
#include "kube/events/recorder.h"
#include "kube/executor/executor.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/pods/pod_state.h"
#include "orchestrator/kubelet/probes/network_prober.h"

namespace meltemi::kube::core::v1 {
class Container;
class LifecycleHandler;
class Pod;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

// What the probes say of one running container. Without a probe: started and ready as soon as it
// runs, and never unhealthy.
struct ProbeResult {
  bool started = false;
  bool ready = false;
  bool unhealthy = false;  // liveness or startup has failed for good: it is to be killed
  std::string why;         // "Container x failed liveness probe, will be restarted"
};

class Probes {
 public:
  virtual ~Probes() = default;
  // The pod as it is: probes of containers that run are started, of others ended. `ready` results
  // of a pod that is ending stay as they come; its liveness is not probed any more. To be called
  // before Get: what the pod's status said of a container that ran before this kubelet is the
  // result until the first probe, so that a new kubelet takes no pod out of its Services.
  virtual void Sync(const std::shared_ptr<const kube::core::v1::Pod>& pod, const PodState& state,
                    bool ending) = 0;
  virtual ProbeResult Get(const kube::core::v1::Container& container,
                          const ContainerState& state) const = 0;
  virtual void Forget(const std::string& pod_uid) = 0;
  // A result has changed. Before the first Sync.
  virtual void OnChange(std::function<void(const std::string& pod_uid)> on_change) = 0;

  // A postStart or preStop handler; `done` once, with Kubernetes' message in an error, and not any
  // more after the destruction. `timeout` zero: none.
  virtual void RunHook(const std::shared_ptr<const kube::core::v1::Pod>& pod,
                       const kube::core::v1::Container& container, const ContainerState& state,
                       const std::string& pod_ip, const kube::core::v1::LifecycleHandler& handler,
                       Duration timeout, std::function<void(absl::Status)> done) = 0;
};

// All outlive it; `metrics` may be null; `random` is thread-safe.
std::unique_ptr<Probes> NewProbes(Runtime& runtime, NetworkProber& network,
                                  kube::Executor& executor, kube::EventRecorder& recorder,
                                  Random& random, metrics::Registry* metrics);

}  // namespace meltemi::kubelet
