// Lifecycle handlers: exec, httpGet, sleep.
//
// Threads: thread-safe; ends are told on the executor's threads. Source: pkg/kubelet/lifecycle (any
// HTTP answer is a success; HTTPS that is answered in HTTP is tried again as HTTP).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/clock/clock.h"

namespace meltemi::kube {
class EventRecorder;
class Executor;
}  // namespace meltemi::kube
namespace meltemi::kube::core::v1 {
class Container;
class LifecycleHandler;
class Pod;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

class NetworkProber;
class Runtime;

class Hooks {
 public:
  virtual ~Hooks() = default;
  // As Probes::RunHook.
  virtual void Run(const std::shared_ptr<const kube::core::v1::Pod>& pod,
                   const kube::core::v1::Container& container, const std::string& container_id,
                   const std::string& pod_ip, const kube::core::v1::LifecycleHandler& handler,
                   Duration timeout, std::function<void(absl::Status)> done) = 0;
};

// All outlive it.
std::unique_ptr<Hooks> NewHooks(Runtime& runtime, NetworkProber& network, kube::Executor& executor,
                                kube::EventRecorder& recorder);

}  // namespace meltemi::kubelet
