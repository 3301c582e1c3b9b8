// Tells people why a pod waits: the condition PodScheduled, the nominated node, and the event
// FailedScheduling. Nothing is written that has been written already, however often the pod is
// tried.
//
// Threads: thread-safe.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "kube/client/client.h"
#include "kube/events/recorder.h"
#include "orchestrator/scheduler/queue/gate.h"
#include "orchestrator/scheduler/report/pod_status.h"

namespace meltemi::scheduler {

struct Report {
  std::string reason;  // "Unschedulable", "SchedulerError"
  std::string message;
  std::optional<std::string> nominated;  // empty: not any more
};

class Reporter {
 public:
  // All of it outlives the reporter; `gate` is closed before it goes.
  Reporter(kube::Client& client, kube::EventRecorder& recorder, Gate& gate);

  void Failed(const PodInfoPtr& pod, Report report);
  // Writes the nominated node alone.
  void Nominate(const PodInfoPtr& pod, const std::string& node);
  // The pod waits no longer.
  void Forget(absl::string_view uid);

 private:
  // Of one pod: what is to be told, and how far that has come.
  struct Telling {
    PodInfoPtr pod;  // as it was last seen
    std::optional<Condition> condition;
    std::optional<std::string> nominated;
    bool to_write = false, writing = false;
    int tries = 0;
    std::string event;
    MonotonicTime event_at;
  };

  void Tell(Telling& telling) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Write(const std::string& uid);

  kube::Client& client_;
  kube::EventRecorder& recorder_;
  Gate& gate_;
  Lanes lanes_;
  std::mutex mutex_;
  absl::flat_hash_map<std::string, Telling> tellings_ ABSL_GUARDED_BY(mutex_);  // by uid
};

}  // namespace meltemi::scheduler
