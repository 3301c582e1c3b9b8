// One pod as a hollow node runs it: a state machine without containers. It takes the pod and the
// time, and says when it wants to be asked again; pod_status.h tells what a kubelet would write.
//
//   kNew -> kStarting -> kInit -> kRunning -> kFinished      (Succeeded, Failed, or stopped)
//     \         \          \         \--> kStopping ---^
//      \---------\----------\--------------^  (a deletionTimestamp was seen)
//     refused at the node: kNew -> kFinished
//
// Threads: values, guarded by their owner. Source: the behaviour of Kubernetes' kubelet: pod
// life cycle, container restarts and their back-off.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::kubelet {

struct ContainerRun {
  enum class State : uint8_t { kWaiting, kRunning, kTerminated };

  State state = State::kWaiting;
  bool ready = false;
  bool has_last = false;  // an earlier run of it is known
  int32_t restarts = 0;
  int32_t exit_code = 0;                  // of this run, once terminated
  int32_t last_exit_code = 0;             // of the run before
  int32_t backoff_s = 0;                  // what the next restart waits; 0: it comes at once
  int64_t started_s = 0, finished_s = 0;  // Unix time
  int64_t last_started_s = 0, last_finished_s = 0;  // of the run before
  // The run ends by itself; it becomes ready; or, while it waits, it is started again.
  std::optional<MonotonicTime> ends_at, ready_at, restarts_at;

  bool backing_off() const { return restarts_at.has_value(); }
};

// When a condition of the pod took the value that it has.
struct ConditionMark {
  bool known = false, value = false;
  int64_t since_s = 0;
};

struct PodRun {
  enum class Stage : uint8_t { kNew, kStarting, kInit, kRunning, kStopping, kFinished };

  std::string uid;
  int32_t node = 0;
  uint32_t ip = 0;  // 0: none of its own
  Stage stage = Stage::kNew;
  bool failed = false;    // kFinished: Failed, else Succeeded
  bool sandbox = false;   // there is a place where containers could be
  int32_t stop_code = 0;  // kStopping: what containers will end with
  int64_t start_time_s = 0;
  std::optional<MonotonicTime> due;       // of kStarting and kStopping
  std::optional<MonotonicTime> deadline;  // activeDeadlineSeconds
  std::vector<ContainerRun> init, main;   // in the order of the spec
  std::string reason, message;            // of the pod's failure
  // PodReadyToStartContainers, Initialized, ContainersReady, Ready (pod_status.h).
  ConditionMark marks[4];

  bool finished() const { return stage == Stage::kFinished; }
  bool serving() const { return stage == Stage::kRunning; }
};

// How it is to run: options and the pod's own annotations.
struct PodTiming {
  Duration start_delay{0}, init_run_for{0}, ready_delay{0}, stop_delay{0};
  std::optional<Duration> run_for;
  int exit_code = 0;
  double failure_rate = 0;
};

// Where the annotations of hollow pods begin.
inline constexpr char kAnnotationPrefix[] = "hollow.meltemi.io/";
// "" when there is none. `name`: "cpu".
absl::string_view HollowAnnotation(const kube::core::v1::Pod& pod, absl::string_view name);

// `defaults` but for what annotations say; those that can't be read count as absent. run_for of
// the defaults is for pods that end (restartPolicy Never and OnFailure).
PodTiming TimingOf(const kube::core::v1::Pod& pod, const PodTiming& defaults);

struct RunTime {
  MonotonicTime now;
  WallTime wall;
};

// Does what is due, as far as it goes at this moment. `failed_start` is asked at each start of a
// main container: true ends it at once with code 1. True: the status has changed.
bool Step(const kube::core::v1::Pod& pod, const PodTiming& timing, const RunTime& time,
          const std::function<bool()>& failed_start, PodRun* run);

// When to call Step again; nullopt: only when the pod changes.
std::optional<MonotonicTime> NextStep(const PodRun& run);

// The node does not take it.
void Refuse(const kube::core::v1::Pod& pod, absl::string_view reason, absl::string_view message,
            const RunTime& time, PodRun* run);

// What an earlier process of this node has written about the pod: its containers go on.
void Adopt(const kube::core::v1::Pod& pod, const PodTiming& timing, const RunTime& time,
           PodRun* run);

bool IsSidecar(const kube::core::v1::Container& container);
int64_t UnixSeconds(WallTime time);

}  // namespace meltemi::kubelet
