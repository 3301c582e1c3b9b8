// What drives a level-triggered reconcile: a queue of keys, each worked on by one at a time, again
// after a failure with growing delays, and never more often than a bound.
//
// A key that is added while it is worked on is worked on once more afterwards. What is lost when
// the process dies is made up for by the first list of the next one: so a reconcile looks at the
// state, never at what changed.
//
// Threads: thread-safe. Source: client-go's util/workqueue (same delays and bounds).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/clock/clock.h"
#include "base/metrics/metrics.h"
#include "kube/names/names.h"
#include "kube/status/status.h"

namespace meltemi::kube {

class Executor;

// What a reconcile wants next.
struct Requeue {
  // After this long again, as if it had been added then; without: only when somebody adds the key.
  std::optional<Duration> after;
};
using ReconcileResult = Result<Requeue>;
// Shorthands: `return Finished();`
inline ReconcileResult Finished() { return Requeue{}; }
inline ReconcileResult Again(Duration after) { return Requeue{after}; }

struct ControllerOptions {
  std::string name;  // "replicaset": in logs and metrics
  int workers = 5;   // keys worked on at the same time
  // After a failure: doubled each time, until the key succeeds.
  Duration backoff_min = milliseconds(5);
  Duration backoff_max = seconds(1000);
  // Retries of all keys together, per second, and how many may come at once.
  double retries_per_second = 10;
  int retries_burst = 100;
};

class Controller {
 public:
  using Reconcile = std::function<ReconcileResult(const NamespacedName& key)>;

  // Nothing runs after it; waits for reconciles under way.
  virtual ~Controller() = default;

  // Nothing is worked on before Start; what is added before waits.
  virtual void Start() = 0;
  virtual void Add(const NamespacedName& key) = 0;
  // The earlier of several times counts.
  virtual void AddAfter(const NamespacedName& key, Duration delay) = 0;
  // How often the key has failed in a row.
  virtual int failures(const NamespacedName& key) const = 0;
  // Waiting, being worked on, or put off by a failure (not by AddAfter or Again).
  virtual size_t busy() const = 0;
};

// A failure is logged with its key and message and counted. Metrics, labelled with the controller's
// name: workqueue_adds_total, workqueue_depth, workqueue_retries_total,
// workqueue_work_duration_seconds, workqueue_queue_duration_seconds,
// controller_runtime_reconcile_errors_total. `executor` and `metrics` outlive it; `metrics` may be
// null.
std::unique_ptr<Controller> NewController(const ControllerOptions& options, Executor& executor,
                                          metrics::Registry* metrics,
                                          Controller::Reconcile reconcile);

}  // namespace meltemi::kube
