// The pods that wait for a place:
//
//        Set ──→ gated (has scheduling gates) ──gates gone──┐
//         └────────────────────────────────────────────────→ active ──Pop──→ in flight ──Done──→
//                         ┌──────── time is up ─────────────→   ↑                 │
//                      backing off ←─────────── event helps ────┼─────────────────┤ Retry
//                         ↑                                     │                 │ Refuse
//                         └────── event helps, 5 minutes ── waiting ←─────────────┘
//
// An event brings a waiting pod back when one of the plugins that have refused it says that it may
// help. Events that come while the pod is in flight count, too. A pod backs off for 1 s after its
// first failed attempt, twice that after the next one, up to 10 s, counted from the attempt.
//
// Threads: thread-safe. Source: kube-scheduler's scheduling queue.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/metrics/metrics.h"
#include "orchestrator/scheduler/plugins/plugin.h"
#include "orchestrator/scheduler/queue/gate.h"

namespace meltemi::scheduler {

// Plugins of a profile by their places in it: bit i is plugin i.
using PluginSet = uint64_t;

struct QueueOptions {
  Duration backoff_initial = seconds(1);
  Duration backoff_max = seconds(10);
  Duration unschedulable_max = minutes(5);
};

// Show how many pods are where; any may be null.
struct QueueGauges {
  metrics::Gauge* active = nullptr;
  metrics::Gauge* backing_off = nullptr;
  metrics::Gauge* waiting = nullptr;
  metrics::Gauge* gated = nullptr;
};

// A pod that has been popped.
struct Attempt {
  PodInfoPtr pod;
  int attempts = 1;           // with this one
  MonotonicTime first_tried;  // when it was first there to be tried
};

class Queue {
 public:
  struct Counts {
    size_t active = 0, backing_off = 0, waiting = 0, gated = 0, in_flight = 0;
    size_t all() const { return active + backing_off + waiting + gated + in_flight; }
  };

  // Whether the event may make the pod, refused by these plugins (none: there was no node at all),
  // schedulable. Called with the queue's lock held.
  using MayHelp =
      std::function<bool(const PodInfo& pod, PluginSet refused_by, const ClusterEvent& event)>;

  // `on_active` is called (with the lock held) when there is something to pop; `gate` outlives the
  // queue, and is closed before it goes.
  Queue(const QueueOptions& options, const QueueGauges& gauges, Gate& gate, MayHelp may_help,
        std::function<void()> on_active);

  // A pod without a node, as it is now.
  void Set(PodInfoPtr pod);
  // It has a node, or is gone.
  void Remove(absl::string_view uid);
  void OnEvent(const ClusterEvent& event);

  // The pod of the highest priority that waits for longest.
  std::optional<Attempt> Pop();
  // What has been popped has a place.
  void Done(absl::string_view uid);
  // What has been popped fits nowhere. A `held` one is not tried before it is released.
  void Refuse(absl::string_view uid, PluginSet refused_by, bool held = false);
  // `again`: it is to be tried although nothing may have helped.
  void Release(absl::string_view uid, bool again = false);
  // The attempt has failed for another reason. `pod` may be a newer version; it need not be in the
  // queue any more.
  void Retry(PodInfoPtr pod, const Attempt& attempt);

  Counts counts() const;

 private:
  enum class Place : uint8_t { kNone, kGated, kActive, kBackoff, kWaiting, kInFlight };
  struct Entry {
    PodInfoPtr pod;
    Place place = Place::kNone;
    bool held = false, woken = false;
    int attempts = 0;
    PluginSet refused_by = 0;
    MonotonicTime since;  // when it came, or was last refused
    uint64_t turn = 0;    // breaks ties of `since`
    MonotonicTime due;    // in timed_
    std::optional<MonotonicTime> first_tried;
  };
  struct ByPriority {
    bool operator()(const Entry* a, const Entry* b) const;
  };
  struct ByDue {
    bool operator()(const Entry* a, const Entry* b) const;
  };

  Entry& Add(PodInfoPtr pod) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Stamp(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Leave(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Enter(Entry& entry, Place place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Count(Place place, int by) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Requeue(Entry& entry) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Change(Entry& entry, PodInfoPtr pod) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  MonotonicTime BackoffEnd(const Entry& entry) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void ArmTimer() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnTimer();
  bool Helped(const Entry& entry) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const QueueOptions options_;
  const QueueGauges gauges_;
  Gate& gate_;
  const MayHelp may_help_;
  const std::function<void()> on_active_;

  mutable std::mutex mutex_;
  absl::flat_hash_map<std::string, std::unique_ptr<Entry>> entries_ ABSL_GUARDED_BY(mutex_);
  std::set<Entry*, ByPriority> active_ ABSL_GUARDED_BY(mutex_);
  std::set<Entry*, ByDue> timed_ ABSL_GUARDED_BY(mutex_);  // backing off, and waiting
  // What has happened since the pod in flight was popped; past the limit `flood_` stands for all.
  std::vector<ClusterEvent> in_flight_events_ ABSL_GUARDED_BY(mutex_);
  bool flood_ ABSL_GUARDED_BY(mutex_) = false;
  Counts counts_ ABSL_GUARDED_BY(mutex_);
  uint64_t turns_ ABSL_GUARDED_BY(mutex_) = 0;
  std::optional<MonotonicTime> timer_at_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<kube::Delayed> timer_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meltemi::scheduler
