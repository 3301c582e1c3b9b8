#include "orchestrator/controllers/job/job.h"

#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "kube/batch/v1/batch.pb.h"
#include "kube/client/typed.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/job/sync.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/doubt.h"
#include "orchestrator/controllers/runtime/expectations.h"
#include "orchestrator/controllers/runtime/owners.h"

namespace meltemi::controllers {
namespace {

namespace core = kube::core::v1;
namespace batch = kube::batch::v1;
using jobs::IsFinished;
using JobPtr = std::shared_ptr<const batch::Job>;

// Pods end in bursts: one look at the Job for all that come within this time.
constexpr Duration kBatchPeriod = milliseconds(100);

std::string AddFinalizerPatch(const core::Pod& pod) {
  json::Value finalizers = json::Value::Array();
  finalizers.Append(json::Value::String(jobs::kTrackingFinalizer));
  json::Value metadata = json::Value::Object();
  metadata.Add("uid", json::Value::String(pod.metadata().uid()));
  metadata.Add("finalizers", std::move(finalizers));
  json::Value patch = json::Value::Object();
  patch.Add("metadata", std::move(metadata));
  return json::ToString(patch);
}

int64_t RevisionOf(const core::Pod& pod) {
  int64_t revision = 0;
  return absl::SimpleAtoi(pod.metadata().resource_version(), &revision) ? revision : 0;
}

class JobController final : public Running {
 public:
  explicit JobController(Context& context);

  void Start() override {
    queue_->Start();
    orphan_queue_->Start();
  }

 private:
  void OnJob(const kube::Change& change);
  void OnPod(const kube::Change& change);
  void AddOwnerOf(const core::Pod& pod);
  void AddSelecting(const core::Pod& pod);
  void AddOrphansOf(const batch::Job& job);
  bool IsOrphan(const core::Pod& pod) const;

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  kube::ReconcileResult ReconcileOrphan(const kube::NamespacedName& key);
  jobs::Memory& MemoryOf(const kube::NamespacedName& key, const batch::Job& job);
  void Forget(const kube::NamespacedName& key);
  // Null: pods have been adopted, whose changes bring the Job back.
  kube::Result<std::optional<std::vector<PodPtr>>> PodsOf(const batch::Job& job);
  kube::Outcome AddFinalizers(const kube::NamespacedName& key,
                              const std::vector<kube::MessagePtr>& pods);
  bool ShowsReleased(const std::vector<PodPtr>& pods, jobs::Memory& memory) const;
  // Whether the Job may lack counts of pods that are known to be counted.
  kube::Result<bool> IsBehind(const batch::Job& job, const jobs::Facts& facts);

  Context& context_;
  kube::EventRecorder& recorder_;
  const kube::Lister<batch::Job> jobs_;
  const kube::Lister<core::Pod> pods_;
  Expectations pod_writes_, job_writes_;
  std::mutex mutex_;  // of the map; each entry is its key's reconcile's own
  std::map<kube::NamespacedName, jobs::Memory> memory_;
  // Last: destroyed first, while all else is there.
  std::unique_ptr<kube::Controller> queue_;
  // Pods that carry the finalizer and have no Job that would remove it.
  std::unique_ptr<kube::Controller> orphan_queue_;
};

JobController::JobController(Context& context)
    : context_(context),
      recorder_(context.recorder("job-controller")),
      jobs_(context.informers.ListerOf<batch::Job>()),
      pods_(context.informers.ListerOf<core::Pod>()),
      pod_writes_(context.executor.clock()),
      job_writes_(context.executor.clock()) {
  kube::ControllerOptions options;
  options.name = "job";
  options.backoff_min = seconds(1);
  options.backoff_max = minutes(1);
  queue_ = kube::NewController(options, context.executor, context.metrics,
                               [this](const auto& key) { return Reconcile(key); });
  options.name = "job_orphan_pod";
  orphan_queue_ = kube::NewController(options, context.executor, context.metrics,
                                      [this](const auto& key) { return ReconcileOrphan(key); });
  kube::Informer& pods = context.informers.Of<core::Pod>();
  pods.AddIndex(kByController, ByController);
  pods.AddIndex(kOrphans, OrphansByNamespace);
  pods.AddHandler([this](const kube::Change& change) { OnPod(change); });
  context.informers.Of<batch::Job>().AddHandler(
      [this](const kube::Change& change) { OnJob(change); });
}

void JobController::OnJob(const kube::Change& change) {
  const JobPtr before = kube::Lister<batch::Job>::Cast(change.before);
  const JobPtr after = kube::Lister<batch::Job>::Cast(change.after);
  const batch::Job& job = after != nullptr ? *after : *before;
  if (after == nullptr || IsFinished(job)) AddOrphansOf(job);
  const bool own_write = before != nullptr && after != nullptr &&
                         before->metadata().generation() == after->metadata().generation();
  if (own_write) {
    queue_->AddAfter(kube::NameOf(job), kBatchPeriod);
  } else {
    queue_->Add(kube::NameOf(job));
  }
}

void JobController::OnPod(const kube::Change& change) {
  const PodPtr before = kube::Lister<core::Pod>::Cast(change.before);
  const PodPtr after = kube::Lister<core::Pod>::Cast(change.after);
  if (before != nullptr) AddOwnerOf(*before);
  if (after == nullptr) return;
  AddOwnerOf(*after);
  if (jobs::IsTracked(*after) && IsOrphan(*after)) orphan_queue_->Add(kube::NameOf(*after));
  if (ControllerOf(*after) != nullptr) return;
  const auto same_labels = [&] {
    const auto& a = before->metadata().labels();
    const auto& b = after->metadata().labels();
    return std::map<std::string, std::string>(a.begin(), a.end()) ==
           std::map<std::string, std::string>(b.begin(), b.end());
  };
  if (before == nullptr || ControllerOf(*before) != nullptr || !same_labels()) {
    AddSelecting(*after);
  }
}

void JobController::AddOwnerOf(const core::Pod& pod) {
  const kube::meta::v1::OwnerReference* owner = ControllerOf(pod);
  if (owner == nullptr || owner->kind() != "Job") return;
  queue_->AddAfter({pod.metadata().namespace_(), owner->name()}, kBatchPeriod);
}

void JobController::AddSelecting(const core::Pod& pod) {
  if (pod.metadata().labels().empty()) return;
  for (const JobPtr& job : jobs_.List(pod.metadata().namespace_())) {
    if (!IsFinished(*job) && Matches(SelectorOf(&job->spec().selector()), pod)) {
      queue_->AddAfter(kube::NameOf(*job), kBatchPeriod);
    }
  }
}

void JobController::AddOrphansOf(const batch::Job& job) {
  for (const PodPtr& pod : pods_.ByIndex(kByController, job.metadata().uid())) {
    if (jobs::IsTracked(*pod)) orphan_queue_->Add(kube::NameOf(*pod));
  }
}

bool JobController::IsOrphan(const core::Pod& pod) const {
  const kube::meta::v1::OwnerReference* owner = ControllerOf(pod);
  if (owner == nullptr) return true;
  if (owner->kind() != "Job") return false;
  const JobPtr job = jobs_.Get(pod.metadata().namespace_(), owner->name());
  return job == nullptr || job->metadata().uid() != owner->uid() || IsFinished(*job);
}

kube::ReconcileResult JobController::ReconcileOrphan(const kube::NamespacedName& key) {
  const PodPtr pod = pods_.Get(key);
  if (pod == nullptr || !jobs::IsTracked(*pod)) return kube::Finished();
  const kube::meta::v1::OwnerReference* owner = ControllerOf(*pod);
  if (owner != nullptr) {
    if (owner->kind() != "Job" || owner->api_version() != "batch/v1") return kube::Finished();
    // The informer of Jobs may be behind that of pods: the API server is asked.
    const kube::Result<batch::Job> job =
        kube::Get<batch::Job>(context_.client, key.ns, owner->name());
    if (!job.ok() && !kube::IsNotFound(job.status())) return job.status();
    if (job.ok() && job->metadata().uid() == owner->uid() &&
        (!IsFinished(*job) || jobs::IsManagedElsewhere(*job))) {
      return kube::Finished();
    }
  } else {
    // It may be about to be adopted.
    for (const JobPtr& job : jobs_.List(key.ns)) {
      if (!IsFinished(*job) && !job->metadata().has_deletion_timestamp() &&
          Matches(SelectorOf(&job->spec().selector()), *pod)) {
        return kube::Finished();
      }
    }
  }
  const kube::Outcome removed =
      jobs::RemoveFinalizer(context_.client, *pod, pod->metadata().resource_version());
  if (!removed.ok()) return removed.status();
  return kube::Finished();
}

jobs::Memory& JobController::MemoryOf(const kube::NamespacedName& key, const batch::Job& job) {
  const std::lock_guard<std::mutex> lock(mutex_);
  jobs::Memory& memory = memory_[key];
  if (memory.uid != job.metadata().uid()) {
    memory = {};
    memory.uid = job.metadata().uid();
  }
  return memory;
}

void JobController::Forget(const kube::NamespacedName& key) {
  pod_writes_.Drop(key);
  job_writes_.Drop(key);
  const std::lock_guard<std::mutex> lock(mutex_);
  memory_.erase(key);
}

kube::Outcome JobController::AddFinalizers(const kube::NamespacedName& key,
                                           const std::vector<kube::MessagePtr>& pods) {
  for (const kube::MessagePtr& message : pods) {
    const PodPtr pod = kube::Lister<core::Pod>::Cast(message);
    if (jobs::IsTracked(*pod)) continue;
    const kube::Result<core::Pod> patched =
        kube::Patch<core::Pod>(context_.client, key.ns, pod->metadata().name(),
                               kube::PatchType::kStrategicMerge, AddFinalizerPatch(*pod));
    if (patched.ok()) {
      pod_writes_.ExpectRevision(key, patched->metadata().resource_version());
    } else if (!kube::IsNotFound(patched.status())) {
      return patched.status();
    }
  }
  return kube::Done{};
}

kube::Result<std::optional<std::vector<PodPtr>>> JobController::PodsOf(const batch::Job& job) {
  const kube::LabelSelector selector = SelectorOf(&job.spec().selector());
  std::vector<kube::MessagePtr> orphans;
  for (kube::MessagePtr& pod :
       pods_.informer().IndexedMessages(kOrphans, job.metadata().namespace_())) {
    const bool going = kube::MetaOf(*pod).has_deletion_timestamp();
    if (!going && Matches(selector, *pod)) orphans.push_back(std::move(pod));
  }
  if (job.metadata().has_deletion_timestamp()) orphans.clear();
  if (!orphans.empty()) {
    const kube::Result<bool> there = StillThere(context_.client, job)();
    if (!there.ok()) return there.status();
    if (!*there) orphans.clear();
    // Before they are adopted: a pod of a Job without the finalizer passes for one that has been
    // counted.
    const kube::Outcome added = AddFinalizers(kube::NameOf(job), orphans);
    if (!added.ok()) return added.status();
  }
  const ClaimOptions options{context_.client, job, selector, {}, {}};
  const kube::Result<std::vector<kube::MessagePtr>> claimed = Claim(
      options, pods_.informer().IndexedMessages(kByController, job.metadata().uid()), orphans);
  if (!claimed.ok()) return claimed.status();
  if (!orphans.empty()) return std::optional<std::vector<PodPtr>>();
  std::vector<PodPtr> pods;
  for (const kube::MessagePtr& pod : *claimed) {
    pods.push_back(kube::Lister<core::Pod>::Cast(pod));
  }
  return std::optional<std::vector<PodPtr>>(std::move(pods));
}

bool JobController::ShowsReleased(const std::vector<PodPtr>& pods, jobs::Memory& memory) const {
  std::set<std::string> still;
  for (const PodPtr& pod : pods) {
    const std::string& uid = pod->metadata().uid();
    if (jobs::IsTracked(*pod) && memory.released.count(uid) > 0) still.insert(uid);
  }
  memory.released = std::move(still);
  return memory.released.empty();
}

kube::Result<bool> JobController::IsBehind(const batch::Job& job, const jobs::Facts& facts) {
  int64_t newest = 0;
  for (const PodPtr& pod : facts.pods) {
    if (!jobs::IsTracked(*pod)) newest = std::max(newest, RevisionOf(*pod));
  }
  if (newest <= jobs_.informer().revision()) return false;
  const kube::Result<batch::Job> fresh =
      kube::Get<batch::Job>(context_.client, job.metadata().namespace_(), job.metadata().name());
  if (!fresh.ok()) return fresh.status();
  return fresh->metadata().resource_version() != job.metadata().resource_version();
}

kube::ReconcileResult JobController::Reconcile(const kube::NamespacedName& key) {
  const JobPtr job = jobs_.Get(key);
  if (job == nullptr || IsFinished(*job) || jobs::IsManagedElsewhere(*job)) {
    Forget(key);
    return kube::Finished();
  }
  jobs::Memory& memory = MemoryOf(key, *job);
  const kube::Outcome settled =
      SettleDoubt(context_.client, pod_writes_, key, *job, SelectorOf(&job->spec().selector()),
                  pods_.informer().IndexedMessages(kByController, job->metadata().uid()));
  if (!settled.ok()) return settled.status();
  if (!job_writes_.Met(key, jobs_.informer()) || !pod_writes_.Met(key, pods_.informer())) {
    return Expectations::Wait();
  }
  kube::Result<std::optional<std::vector<PodPtr>>> pods = PodsOf(*job);
  if (!pods.ok()) return pods.status();
  if (!pods->has_value()) return kube::Finished();
  if (!ShowsReleased(**pods, memory)) return Expectations::Wait();

  const jobs::SyncOptions options{context_.client, recorder_, pod_writes_, job_writes_,
                                  context_.WallNow()};
  jobs::Sync sync(options, *job, std::move(**pods), memory);
  if (sync.WantsPods()) {
    const kube::Result<bool> behind = IsBehind(*job, sync.facts());
    if (!behind.ok()) return behind.status();
    if (*behind) return Expectations::Wait();
  }
  return sync.Run();
}

}  // namespace

std::unique_ptr<Running> NewJobController(Context& context) {
  return std::make_unique<JobController>(context);
}

}  // namespace meltemi::controllers
