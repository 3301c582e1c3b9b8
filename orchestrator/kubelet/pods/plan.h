// What is to be done for one pod, and what is to be said about it: a pure function of the pod's
// object, of what the runtime has of it and of what the kubelet remembers. Nothing here calls
// anybody or looks at a clock; a worker (pod_worker.h) carries the actions out and asks again.
//
//   active:   volumes -> sandbox -> init containers and sidecars -> containers; restarts
//   ending:   the object is being deleted or gone, or the phase is final, or the deadline has
//             passed: containers end, then sidecars in reverse order, then the sandboxes
//   ended:    nothing runs: volumes and groups are given back; the object may be deleted
//   gone:     the object is gone: what the runtime still has of it is removed
//
// Threads: plain values. Source: the pod life cycle of Kubernetes' documentation; pkg/kubelet
// (kuberuntime's pod actions, pod workers, container back-off).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/pods/pod_state.h"
#include "orchestrator/kubelet/probes/probes.h"

namespace meltemi::kubelet {

// The back-off of a container that ends again and again.
struct CrashBackOff {
  Duration delay{0};  // 0: none yet; the first restart comes at once
  WallTime restarted_at{};
};

// What is remembered of a container, by its name.
struct ContainerMemory {
  // Why it could not be started the last time: what it waits for, in words for users.
  std::string failure_reason, failure_message;
  int failures = 0;          // in a row
  MonotonicTime retry_at{};  // not before
  CrashBackOff crash;
  std::string hook_of;  // the container (id) whose postStart handler runs; "": none
};

// A container (by its id) that is being killed.
struct KillMemory {
  enum class Hook : uint8_t { kNone, kRunning, kDone };
  MonotonicTime deadline{};  // of its grace period
  Hook hook = Hook::kNone;
  bool stopping = false;  // the runtime has been told
  MonotonicTime stopping_by{};
  int failures = 0;
  MonotonicTime retry_at{};
  std::string message;
  bool told = false;         // the event
  bool hook_failed = false;  // to be told
  std::string error;         // of the runtime; to be told
};

// Why the node did not take the pod.
struct Rejection {
  std::string reason, message;
};

// What the kubelet remembers of a pod while it lives; after a restart it begins empty.
struct PodMemory {
  std::map<std::string, ContainerMemory> containers;
  std::map<std::string, KillMemory> kills;
  std::optional<Rejection> rejected;
  std::optional<kube::core::v1::PodStatus> status;  // the last that was made
  std::optional<MonotonicTime> ending_since;        // when that was seen first
  std::optional<MonotonicTime> ending_by;           // the end of its grace period
  std::vector<std::string> ips;                     // of its last sandbox
  bool volumes_ready = false;
  MonotonicTime volumes_retry_at{}, sandbox_retry_at{}, clean_retry_at{};
  bool cleaned = false;  // volumes and groups have been given back
};

struct PlanOptions {
  std::string runtime_name = "containerd";  // in front of container ids: "containerd://…"
  std::vector<std::string> node_ips;
  Duration backoff_max = minutes(5);
  int dead_containers_per_name = 1;
  Duration drain_delay{0};
};

struct PlanInput {
  // Null: only the runtime knows of it.
  const kube::core::v1::Pod* pod = nullptr;
  bool gone = false;  // the API server has no such object any more
  const PodState& state;
  const PodMemory& memory;
  const PlanOptions& options;
  // Of containers that run. Empty: all are started and ready.
  std::function<ProbeResult(const kube::core::v1::Container&, const ContainerState&)> probe;
  // Empty: specs are not compared.
  std::function<uint64_t(const kube::core::v1::Container&)> spec_hash;
  std::string qos_class;
  MonotonicTime now{};
  WallTime wall{};
};

struct Action {
  enum class Kind : uint8_t {
    kPrepareVolumes,
    kCreateSandbox,    // attempt
    kStart,            // container, attempt, id: its sandbox; finished_at of the run before
    kKill,             // id, container, by, turn, message; every time until it is dead
    kStopSandbox,      // id
    kRemoveContainer,  // id
    kRemoveSandbox,    // id
    kCleanUp,          // volumes and groups
    kForget,           // nothing is left: folders, and all that is remembered
  };
  Kind kind = Kind::kForget;
  std::string id, container;
  uint32_t attempt = 0;
  std::optional<WallTime> finished_at;
  MonotonicTime by{};  // the end of the grace period
  bool turn = true;    // may be stopped; else only its preStop handler runs
  std::string message;
};

// An event, told when it is new (the same again in the next plan is not).
struct PlannedEvent {
  std::string type, reason, message;
  std::string container;  // "": of the pod
};

struct Plan {
  std::vector<Action> actions;  // in order; after them the runtime is looked at again
  std::vector<PlannedEvent> events;
  kube::core::v1::PodStatus status;
  bool has_status = false;  // none is made of a pod that only the runtime knows
  bool ending = false;
  bool ended = false;       // nothing of it runs
  bool may_delete = false;  // the object, once the status is written
  std::optional<MonotonicTime> ending_by;
  std::optional<MonotonicTime> again;  // when something is due by time alone
};

Plan MakePlan(const PlanInput& input);

// The restart that comes now moves the back-off to its next step.
CrashBackOff NextBackOff(const CrashBackOff& backoff, WallTime finished_at, WallTime now,
                         Duration first, Duration longest);
// When the container may be restarted; nullopt: at once.
std::optional<WallTime> BackOffUntil(const CrashBackOff& backoff, WallTime finished_at,
                                     Duration longest, WallTime now);

// Step by step to the end of one container.
struct KillStep {
  enum class Kind : uint8_t { kWait, kRunHook, kStop };
  Kind kind = Kind::kWait;
  Duration time{0};                    // for the handler; of the grace period
  std::optional<MonotonicTime> until;  // of kWait; none: until something happens
};
KillStep NextKillStep(const KillMemory& kill, bool has_hook, bool turn, MonotonicTime now);

// Why a container whose postStart handler has failed is killed.
inline constexpr char kPostStartFailed[] = "FailedPostStartHook";

// Seconds that a container is given to end at least.
inline constexpr Duration kGraceMin = seconds(2);

bool IsSidecarContainer(const kube::core::v1::Container& container);
// "1m20s", as Go writes whole seconds.
std::string GoSeconds(Duration duration);
// "web_default(2f0c…)".
std::string PodText(const kube::core::v1::Pod& pod);
// Of init containers and containers; null: there is none.
const kube::core::v1::Container* FindContainer(const kube::core::v1::Pod& pod,
                                               const std::string& name);

}  // namespace meltemi::kubelet
