// A pod at one moment, for tests of plans: its object, what the runtime has, what is remembered,
// and the plan in short words.
//
// Threads: one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/pods/plan.h"

namespace meltemi::kubelet {

struct PlanCase {
  // `spec`: YAML of a pod's spec. With volumes prepared.
  explicit PlanCase(absl::string_view spec);

  kube::core::v1::Pod pod;
  PodState state;
  PodMemory memory;
  PlanOptions options;
  std::map<std::string, ProbeResult> probes;  // by the container's name
  bool gone = false, unknown = false;         // the object is; and was never seen
  Duration now = minutes(1000);               // since the beginning of time

  MonotonicTime Mono() const { return MonotonicTime(now); }
  WallTime Wall() const { return WallTime(seconds(1'700'000'000) + now); }

  // --- What the runtime has. The newest comes last.
  SandboxState& AddSandbox(bool ready = true);  // "s0", "s1", …: address 10.244.0.N+2
  // In the newest sandbox; its id is NAME.ATTEMPT.
  ContainerState& AddRunning(const std::string& name);
  // Ended just now; began a second before.
  ContainerState& AddExited(const std::string& name, int code);
  ContainerState& Container(const std::string& id);
  void Exit(const std::string& id, int code);
  void SetDeleted(int64_t grace_s);

  // Makes a plan and keeps what a worker would keep of it: status and end of the grace period.
  Plan Make();
  // "PrepareVolumes, CreateSandbox 0, Start web 1, Kill web.0 30s (Stopping container web)": with
  // "later" where it is not its turn.
  std::string Actions();
  // "Warning BackOff web: Back-off …" of the last plan.
  std::vector<std::string> Events() const;
  const kube::core::v1::PodStatus& status() const { return *memory.status; }
  // "Running", "waiting CrashLoopBackOff", "terminated 1 Error": of a container, in short.
  std::string StateOf(const std::string& container) const;
  // "True", "False ContainersNotReady: containers with …".
  std::string ConditionOf(absl::string_view type) const;
  // Until something is due, in seconds; -1: nothing.
  int64_t Again() const;

  Plan plan;

 private:
  ContainerState& AddContainer(const std::string& name, ContainerState::Phase phase);
};

}  // namespace meltemi::kubelet
