// One look at one Job: makes and deletes its pods, counts those that have ended, and closes it.
//
// Threads: used on one thread by one reconcile; blocks on calls.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock/clock.h"
#include "kube/batch/v1/batch.pb.h"
#include "kube/client/client.h"
#include "kube/events/recorder.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/job/backoff.h"
#include "orchestrator/controllers/job/facts.h"
#include "orchestrator/controllers/job/plan.h"
#include "orchestrator/controllers/runtime/expectations.h"

namespace meltemi::controllers::jobs {

// What is remembered of a Job from one reconcile to the next. Losing it costs at most a shorter
// wait after a failure.
struct Memory {
  std::string uid;
  FailureRun run;
  std::set<std::string> seen;      // ended pods that `run` knows; those that are gone leave
  std::set<std::string> released;  // pods whose finalizer has gone, which informers may not show
};

struct SyncOptions {
  kube::Client& client;
  kube::EventRecorder& recorder;
  Expectations& pod_writes;
  Expectations& job_writes;
  WallTime now;
};

// Removes the finalizer. `resource_version`: only from this version of the pod; empty: from any.
// A pod that is gone is success.
kube::Outcome RemoveFinalizer(kube::Client& client, const kube::core::v1::Pod& pod,
                              absl::string_view resource_version = "");

class Sync final {
 public:
  // `job` is as the informer shows it.
  Sync(const SyncOptions& options, const kube::batch::v1::Job& job, std::vector<PodPtr> pods,
       Memory& memory);

  // Whether pods are wanted that are not there.
  bool WantsPods() const;
  const Facts& facts() const { return facts_; }
  kube::ReconcileResult Run();

 private:
  void NoteFailures();
  void DeleteActive();
  void DoWork();
  void Remove(const PodPtr& pod);
  // False: no more are to be tried.
  bool Create(int index);
  void UpdateSuspended();
  kube::Outcome WriteStatus();
  void Release(const Tally& tally, std::set<std::string>& tracked);
  kube::Outcome Finish();
  void RecordEnd();

  const SyncOptions& options_;
  const kube::batch::v1::Job& cached_;
  const kube::NamespacedName key_;
  Memory& memory_;
  kube::batch::v1::Job job_;  // with the status that is to be written
  kube::batch::v1::JobStatus written_;
  Facts facts_;
  std::optional<Conclusion> conclusion_;
  std::optional<kube::Status> failure_;  // the first one
  std::optional<Duration> wait_;
  std::vector<std::pair<std::string, std::string>> events_;  // once the status is written
};

}  // namespace meltemi::controllers::jobs
