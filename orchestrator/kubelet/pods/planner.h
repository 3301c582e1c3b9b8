// One call of MakePlan: what its parts share (plan_containers.cc, plan_ending.cc, plan.cc).
//
// Threads: lives within one call.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "orchestrator/kubelet/pods/plan.h"

namespace meltemi::kubelet {

class Planner {
 public:
  explicit Planner(const PlanInput& input) : in_(input) {}
  Plan Make() &&;

 private:
  using Container = kube::core::v1::Container;
  // How far the initialization is.
  enum class Init : uint8_t { kGoesOn, kDone };

  // --- plan_containers.cc: a pod that is to run.
  void Run();
  // True: there is a sandbox that containers can be in. Else what is needed for one is planned.
  bool RunSandbox();
  void ReplaceSandbox();
  Init RunInit();
  // The init container that was begun last. False: those after it have to wait.
  bool RunLastInit(const Container& container);
  void RunSidecar(const Container& container);
  void RunMain(const Container& container);
  // False: it can't be started now.
  bool Start(const Container& container);
  // Its process is not as it should be (another spec, failed probes): killed, to be made again.
  // True: it was.
  bool KillUnfit(const Container& container, const ContainerState& state);
  bool AllHaveEnded() const;
  bool AnythingToStart() const;
  void GoOnWithKills();
  void RemoveLeftovers();

  // --- plan_ending.cc
  void End();
  Duration GracePeriod() const;
  // Until when nothing is stopped, because requests may still come.
  MonotonicTime DrainedAt() const;
  void EndContainers(MonotonicTime by);
  void RemoveAll();

  // --- plan.cc
  // The sandbox that containers can be in; null: there is none.
  const SandboxState* Sandbox() const;
  // The newest container of the name that is in the present sandbox; null: none.
  const ContainerState* InSandbox(const std::string& name) const;
  bool MainHasBeenStarted() const;
  ProbeResult Probe(const Container& container, const ContainerState& state) const;
  bool HookRuns() const;
  void Kill(const ContainerState& state, MonotonicTime by, bool turn, std::string message);
  void Add(Action::Kind kind, std::string id);
  void LookAgain(MonotonicTime at);
  MonotonicTime At(WallTime wall) const { return in_.now + (wall - in_.wall); }
  void Tell(absl::string_view type, absl::string_view reason, std::string message,
            absl::string_view container = "");

  const PlanInput& in_;
  Plan plan_;
  std::set<std::string> killed_;  // ids that have a kKill in this plan
};

}  // namespace meltemi::kubelet
