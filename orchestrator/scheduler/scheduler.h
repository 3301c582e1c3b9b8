// The scheduler: gives every pod without a node the best one.
//
//   informers → cache (assumed pods too) → snapshot ┐
//   informers → queue (active, back-off, waiting)  → cycle: filter → score → assume → bind
//                     ↑ events that may help                └ none fits: preempt → queue
//
// Threads: made and destroyed on one thread. Cycles run one after the other on the executor,
// bindings beside them. Source: the behaviour of kube-scheduler v1.32.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/metrics/metrics.h"
#include "base/random/random.h"
#include "kube/client/client.h"
#include "kube/events/recorder.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "orchestrator/scheduler/plugins/plugins.h"

namespace meltemi::scheduler {

struct Profile {
  std::string scheduler_name = "default-scheduler";
  PluginOptions plugins;
};

struct SchedulerOptions {
  std::vector<Profile> profiles = {Profile()};
  int percentage_of_nodes_to_score = 0;  // 0: by the number of nodes, as kube-scheduler
  Duration backoff_initial = seconds(1);
  Duration backoff_max = seconds(10);
  // A pod that no event has brought back is tried again after this long.
  Duration unschedulable_max = minutes(5);
  int bindings_in_flight_max = 32;
};

class Scheduler {
 public:
  virtual ~Scheduler() = default;
  // After the informers have synced.
  virtual void Start() = 0;
  // Pods waiting in all queues, and bindings under way.
  virtual size_t pending() const = 0;
};

// All references outlive it. Error: a profile that names an unknown plugin. Asks `informers` for
// what it needs; the caller starts them.
absl::StatusOr<std::unique_ptr<Scheduler>> NewScheduler(const SchedulerOptions& options,
                                                        kube::Client& client,
                                                        kube::Informers& informers,
                                                        kube::Executor& executor,
                                                        kube::EventRecorder& recorder,
                                                        Random& random, metrics::Registry* metrics);

}  // namespace meltemi::scheduler
