// One pod's worker: makes plans and carries them out, round by round, until there is nothing to do
// but wait.
//
// What is to be done at once is done here and blocks (sandboxes, containers, volumes); what lasts
// (handlers, stopping, pulling) comes back by a call that touches the pod.
//
// Threads: Work is called by one thread at a time; ends of handlers and stops come on any.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/containers/configs.h"
#include "orchestrator/kubelet/images/images.h"
#include "orchestrator/kubelet/pods/plan.h"
#include "orchestrator/kubelet/pods/pods.h"
#include "orchestrator/kubelet/pods/runtime_view.h"
#include "orchestrator/kubelet/pods/status_writer.h"
#include "orchestrator/kubelet/volumes/volumes.h"

namespace runtime::v1 {
class PodSandboxConfig;
}  // namespace runtime::v1

namespace meltemi::kubelet {

// The pod's object as the API server has it now.
struct PodObject {
  std::shared_ptr<const kube::core::v1::Pod> pod;  // null: was never seen
  bool gone = true;
};

// What workers share. All of it outlives them.
struct WorkerParts {
  const PodsParts& parts;
  const PodsOptions& options;
  RuntimeView& view;
  StatusWriter& writer;
  std::function<PodObject(const std::string& uid)> object;
  std::function<void(const std::string& uid, std::shared_ptr<const PodOnNode> shown)> show;
  // For ends that come later: copied, so that it can be called when all the rest is gone. Does the
  // work and touches the pod; does nothing when the pods are gone, which wait for work under way.
  std::function<void(const std::string& uid, const std::function<void()>& work)> later;
  std::string runtime_name;
};

class PodWorker : public std::enable_shared_from_this<PodWorker> {
 public:
  PodWorker(const WorkerParts& shared, std::string uid);

  // The node does not take it.
  void Reject(Rejection rejection);
  struct Result {
    std::optional<Duration> again;
    bool forgotten = false;  // nothing of it is left
    bool ended = false;      // nothing of it runs: it takes no place
  };
  Result Work();

 private:
  using Pod = kube::core::v1::Pod;
  using Container = kube::core::v1::Container;
  using PodPtr = std::shared_ptr<const Pod>;
  // What has come of carrying out actions.
  enum class Done : uint8_t {
    kNothing,  // all that is to be done is under way, or waits
    kShow,     // nothing in the runtime, but what is known has changed
    kAgain,    // the runtime has been told something
    kFailed,   // the rest has to wait
  };

  // Null: it can't be read, and nothing is concluded from what is not known.
  PodStatePtr Read(bool fresh);
  Plan MakeOne(const PodObject& object, const PodState& state);
  // What is left of kills and handlers whose containers have ended.
  void DropDone(const PodState& state);
  // With termination messages.
  PodStatePtr WithMessages(const PodObject& object, const PodStatePtr& state);
  void Show(const PodStatePtr& state, const Plan& plan);
  void Write(const PodObject& object, const Plan& plan, Duration delay);
  void SyncProbes(const PodObject& object, const PodState& state);
  void TellEvents(const Plan& plan);

  Done Execute(const std::vector<Action>& actions, const PodState& state);
  Done ExecuteOne(const Action& action, const PodState& state);
  Done Check(const absl::Status& status, absl::string_view what);
  Done CleanUp();

  // --- pod_start.cc
  Done PrepareVolumes();
  Done CreateSandbox(uint32_t attempt);
  Done Start(const Action& action, const PodState& state);
  Done StartWith(const Action& action, const PodState& state, const Container& container,
                 const std::string& image_ref);
  Done FailStart(const std::string& container, std::string reason, std::string message);
  Done FailSandbox(const std::string& message);
  void RunPostStart(const Container& container, const ContainerState& state);
  void EndPostStart(const std::string& container, const std::string& id, Duration grace,
                    const absl::Status& status);
  // What the runtime calls the pod's class; "": the usual one.
  absl::StatusOr<std::string> RuntimeHandler();
  const cri::PodSandboxConfig* SandboxConfig(uint32_t attempt, std::string* error);
  std::vector<std::string> Ips(const PodState& state) const;

  // --- pod_kill.cc
  Done Kill(const Action& action, const PodState& state);
  void RunPreStop(const Container& container, const ContainerState& state, Duration time,
                  const std::string& ip);
  void EndPreStop(const std::string& id, const absl::Status& status);
  void Stop(const std::string& id, Duration grace);
  void EndStop(const std::string& id, const absl::Status& status);

  void Tell(absl::string_view type, absl::string_view reason, absl::string_view message,
            absl::string_view container = "");
  MonotonicTime Now() const { return shared_.parts.executor.clock().Now(); }
  WallTime WallNow() const { return shared_.parts.executor.clock().WallNow(); }

  const WorkerParts& shared_;
  const std::string uid_;

  // Of the thread in Work.
  PodPtr pod_;    // the object; null: was never seen
  PodPtr shown_;  // with the status that is written next
  PodMounts mounts_;
  std::optional<std::string> cgroup_;
  std::unique_ptr<cri::PodSandboxConfig> sandbox_config_;
  uint32_t sandbox_config_attempt_ = 0;
  std::map<std::string, std::string> messages_;  // termination messages by container id
  std::set<std::string> told_;                   // events of the last plan
  std::string volumes_told_;
  MonotonicTime volumes_told_at_{};
  int volume_failures_ = 0, sandbox_failures_ = 0, clean_failures_ = 0, failures_ = 0;
  bool ended_ = false, forgotten_ = false;
  std::optional<MonotonicTime> wake_at_;  // kills that wait for a moment

  std::mutex mutex_;
  // Guarded by mutex_.
  PodMemory memory_;
  bool stale_ = false;  // the runtime has changed: it is read before the next plan
};

// 1 s, 2 s, 4 s … up to `longest`.
Duration RetryDelay(int failures, Duration longest);

}  // namespace meltemi::kubelet
