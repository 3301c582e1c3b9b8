#include "orchestrator/controllers/cronjob/cronjob.h"

#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "kube/batch/v1/batch.pb.h"
#include "kube/client/typed.h"
#include "kube/core/v1/reference.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/cronjob/due.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/expectations.h"
#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

namespace batch = kube::batch::v1;
namespace core = kube::core::v1;
using cronjobs::Due;
using CronJobPtr = std::shared_ptr<const batch::CronJob>;
using JobPtr = std::shared_ptr<const batch::Job>;

// Behind the moment itself, so that a clock that is a bit off has reached it.
constexpr Duration kMargin = milliseconds(100);
// The wall clock may jump, the executor's does not: it is looked at this often.
constexpr Duration kLookMax = minutes(10);

// "Complete" or "Failed"; empty: it is not finished.
std::string EndOf(const batch::Job& job) {
  for (const batch::JobCondition& condition : job.status().conditions()) {
    const bool final = condition.type() == "Complete" || condition.type() == "Failed";
    if (final && condition.status() == "True") return condition.type();
  }
  return "";
}

bool IsActive(const batch::CronJob& cron_job, const std::string& uid) {
  return absl::c_any_of(cron_job.status().active(),
                        [&](const core::ObjectReference& job) { return job.uid() == uid; });
}

void RemoveActive(batch::CronJob& cron_job, const std::string& uid) {
  auto& active = *cron_job.mutable_status()->mutable_active();
  active.erase(std::remove_if(active.begin(), active.end(),
                              [&](const auto& job) { return job.uid() == uid; }),
               active.end());
}

// What has been told already; losing it costs an event told twice.
struct Told {
  std::optional<WallTime> missed;
  std::set<std::string> unexpected;  // uids
};

class CronJobController final : public Running {
 public:
  explicit CronJobController(Context& context);
  void Start() override { queue_->Start(); }

 private:
  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  kube::ReconcileResult Sync(batch::CronJob& cron_job, const std::vector<JobPtr>& jobs);
  void TrimHistory(batch::CronJob& cron_job, const std::vector<JobPtr>& jobs);
  void NoteJobs(batch::CronJob& cron_job, const std::vector<JobPtr>& jobs);
  kube::Outcome DropMissing(batch::CronJob& cron_job, const std::vector<JobPtr>& jobs);
  // Nothing: what is wrong with the timetable has been told.
  std::optional<kube::CronSchedule> ScheduleOf(const batch::CronJob& cron_job);
  kube::Outcome Make(batch::CronJob& cron_job, WallTime time);
  kube::Outcome Replace(batch::CronJob& cron_job);
  bool DeleteJob(batch::CronJob& cron_job, const std::string& name, const std::string& uid);
  kube::Outcome WriteStatus(const batch::CronJob& before, const batch::CronJob& cron_job);
  Told& ToldOf(const kube::NamespacedName& key);

  Context& context_;
  kube::EventRecorder& recorder_;
  const kube::Lister<batch::CronJob> cron_jobs_;
  const kube::Lister<batch::Job> jobs_;
  Expectations cron_job_writes_, job_writes_;
  std::mutex mutex_;  // of the map; each entry is its key's reconcile's own
  std::map<kube::NamespacedName, Told> told_;
  // Last: destroyed first, while all else is there.
  std::unique_ptr<kube::Controller> queue_;
};

CronJobController::CronJobController(Context& context)
    : context_(context),
      recorder_(context.recorder("cronjob-controller")),
      cron_jobs_(context.informers.ListerOf<batch::CronJob>()),
      jobs_(context.informers.ListerOf<batch::Job>()),
      cron_job_writes_(context.executor.clock()),
      job_writes_(context.executor.clock()) {
  kube::ControllerOptions options;
  options.name = "cronjob";
  queue_ = kube::NewController(options, context.executor, context.metrics,
                               [this](const auto& key) { return Reconcile(key); });
  kube::Informer& jobs = context.informers.Of<batch::Job>();
  jobs.AddIndex(kByController, ByController);
  jobs.AddHandler([this](const kube::Change& change) {
    for (const kube::MessagePtr& job : {change.before, change.after}) {
      const kube::meta::v1::OwnerReference* owner = job == nullptr ? nullptr : ControllerOf(*job);
      if (owner == nullptr || owner->kind() != "CronJob") continue;
      queue_->Add({kube::NameOf(*job).ns, owner->name()});
    }
  });
  context.informers.Of<batch::CronJob>().AddHandler([this](const kube::Change& change) {
    queue_->Add(kube::NameOf(change.after != nullptr ? *change.after : *change.before));
  });
}

Told& CronJobController::ToldOf(const kube::NamespacedName& key) {
  const std::lock_guard<std::mutex> lock(mutex_);
  return told_[key];
}

kube::ReconcileResult CronJobController::Reconcile(const kube::NamespacedName& key) {
  const CronJobPtr cached = cron_jobs_.Get(key);
  if (cached == nullptr) {
    cron_job_writes_.Drop(key);
    job_writes_.Drop(key);
    const std::lock_guard<std::mutex> lock(mutex_);
    told_.erase(key);
    return kube::Finished();
  }
  if (!cron_job_writes_.Met(key, cron_jobs_.informer()) ||
      !job_writes_.Met(key, jobs_.informer())) {
    return Expectations::Wait();
  }
  batch::CronJob cron_job = *cached;
  const std::vector<JobPtr> jobs = jobs_.ByIndex(kByController, cron_job.metadata().uid());
  kube::ReconcileResult result = Sync(cron_job, jobs);
  const kube::Outcome written = WriteStatus(*cached, cron_job);
  if (result.ok() && !written.ok()) return written.status();
  return result;
}

kube::ReconcileResult CronJobController::Sync(batch::CronJob& cron_job,
                                              const std::vector<JobPtr>& jobs) {
  TrimHistory(cron_job, jobs);
  NoteJobs(cron_job, jobs);
  const kube::Outcome dropped = DropMissing(cron_job, jobs);
  if (!dropped.ok()) return dropped.status();
  if (cron_job.metadata().has_deletion_timestamp()) return kube::Finished();
  if (cron_job.spec().suspend()) return kube::Finished();
  const std::optional<kube::CronSchedule> schedule = ScheduleOf(cron_job);
  if (!schedule.has_value()) return kube::Finished();

  const WallTime now = context_.WallNow();
  const Due due = cronjobs::DueOf(cron_job, *schedule, now);
  Told& told = ToldOf(kube::NameOf(cron_job));
  if (due.too_late.has_value() && told.missed != due.too_late) {
    told.missed = due.too_late;
    recorder_.Record(
        cron_job, kube::kWarning, "MissSchedule",
        absl::StrCat("Missed scheduled time to start a job: ",
                     absl::FormatTime("%a, %d %b %Y %H:%M:%S +0000",
                                      absl::FromChrono(*due.too_late), absl::UTCTimeZone())));
  }
  if (due.time.has_value()) {
    if (due.many_missed) {
      recorder_.Record(cron_job, kube::kWarning, "TooManyMissedTimes",
                       "too many missed start times. Set or decrease "
                       ".spec.startingDeadlineSeconds or check clock skew");
    }
    const kube::Outcome made = Make(cron_job, *due.time);
    if (!made.ok()) return made.status();
  }
  if (!due.next.has_value()) {
    recorder_.Record(
        cron_job, kube::kWarning, "InvalidSchedule",
        absl::StrCat("invalid schedule: ", cron_job.spec().schedule(),
                     " : time difference between two schedules is less than 1 second"));
    return kube::Finished();
  }
  return kube::Again(std::clamp<Duration>(*due.next - now + kMargin, kMargin, kLookMax));
}

void CronJobController::TrimHistory(batch::CronJob& cron_job, const std::vector<JobPtr>& jobs) {
  const auto trim = [&](const char* end, int limit) {
    std::vector<JobPtr> finished;
    for (const JobPtr& job : jobs) {
      if (EndOf(*job) == end) finished.push_back(job);
    }
    absl::c_sort(finished, [](const JobPtr& a, const JobPtr& b) {
      const auto key = [](const batch::Job& job) {
        return std::make_tuple(!job.status().has_start_time(), job.status().start_time().seconds(),
                               job.metadata().name());
      };
      return key(*a) < key(*b);
    });
    for (size_t i = 0; i + static_cast<size_t>(std::max(0, limit)) < finished.size(); ++i) {
      if (finished[i]->metadata().has_deletion_timestamp()) continue;
      DeleteJob(cron_job, finished[i]->metadata().name(), finished[i]->metadata().uid());
    }
  };
  if (cron_job.spec().has_successful_jobs_history_limit()) {
    trim("Complete", cron_job.spec().successful_jobs_history_limit());
  }
  if (cron_job.spec().has_failed_jobs_history_limit()) {
    trim("Failed", cron_job.spec().failed_jobs_history_limit());
  }
}

void CronJobController::NoteJobs(batch::CronJob& cron_job, const std::vector<JobPtr>& jobs) {
  Told& told = ToldOf(kube::NameOf(cron_job));
  std::set<std::string> unexpected;
  for (const JobPtr& job : jobs) {
    const std::string& uid = job->metadata().uid();
    const bool active = IsActive(cron_job, uid);
    const std::string end = EndOf(*job);
    if (end.empty()) {
      if (active) continue;
      unexpected.insert(uid);
      if (told.unexpected.count(uid) > 0) continue;
      recorder_.Record(cron_job, kube::kWarning, "UnexpectedJob",
                       absl::StrCat("Saw a job that the controller did not create or forgot: ",
                                    job->metadata().name()));
      continue;
    }
    if (active) {
      RemoveActive(cron_job, uid);
      recorder_.Record(
          cron_job, kube::kNormal, "SawCompletedJob",
          absl::StrCat("Saw completed job: ", job->metadata().name(), ", condition: ", end));
    }
    batch::CronJobStatus& status = *cron_job.mutable_status();
    const bool later =
        job->status().completion_time().seconds() > status.last_successful_time().seconds();
    if (end == "Complete" && job->status().has_completion_time() && later) {
      *status.mutable_last_successful_time() = job->status().completion_time();
    }
  }
  told.unexpected = std::move(unexpected);
}

kube::Outcome CronJobController::DropMissing(batch::CronJob& cron_job,
                                             const std::vector<JobPtr>& jobs) {
  const google::protobuf::RepeatedPtrField<core::ObjectReference> active =
      cron_job.status().active();
  for (const core::ObjectReference& reference : active) {
    const bool there = absl::c_any_of(
        jobs, [&](const JobPtr& job) { return job->metadata().uid() == reference.uid(); });
    if (there) continue;
    // The informer of Jobs may be behind that of CronJobs: the API server is asked.
    const kube::Result<batch::Job> job =
        kube::Get<batch::Job>(context_.client, reference.namespace_(), reference.name());
    if (!job.ok() && !kube::IsNotFound(job.status())) return job.status();
    if (job.ok() && job->metadata().uid() == reference.uid()) continue;
    RemoveActive(cron_job, reference.uid());
    recorder_.Record(cron_job, kube::kNormal, "MissingJob",
                     absl::StrCat("Active job went missing: ", reference.name()));
  }
  return kube::Done{};
}

std::optional<kube::CronSchedule> CronJobController::ScheduleOf(const batch::CronJob& cron_job) {
  const std::string& zone = cron_job.spec().time_zone();
  const std::string wrong = kube::CheckTimeZone(zone);
  if (!wrong.empty()) {
    recorder_.Record(cron_job, kube::kWarning, "UnknownTimeZone",
                     absl::StrCat("invalid timeZone: \"", zone, "\": ", wrong));
    return std::nullopt;
  }
  const std::string& text = cron_job.spec().schedule();
  if (absl::StrContains(text, "TZ")) {
    recorder_.Record(
        cron_job, kube::kWarning, "UnsupportedSchedule",
        absl::StrCat("CRON_TZ or TZ used in schedule \"", text,
                     "\" is not officially supported, see https://kubernetes.io/docs/concepts/"
                     "workloads/controllers/cron-jobs/ for more details"));
  }
  const absl::StatusOr<kube::CronSchedule> schedule = kube::CronSchedule::Parse(text, zone);
  if (!schedule.ok()) {
    recorder_.Record(
        cron_job, kube::kWarning, "UnparseableSchedule",
        absl::StrCat("unparseable schedule: \"", text, "\" : ", schedule.status().message()));
    return std::nullopt;
  }
  return *schedule;
}

kube::Outcome CronJobController::Make(batch::CronJob& cron_job, WallTime time) {
  const std::string name = cronjobs::JobName(cron_job, time);
  const auto& active = cron_job.status().active();
  if (absl::c_any_of(active, [&](const auto& job) { return job.name() == name; })) {
    return kube::Done{};
  }
  const std::string& policy = cron_job.spec().concurrency_policy();
  if (policy == "Forbid" && !active.empty()) {
    recorder_.Record(cron_job, kube::kNormal, "JobAlreadyActive",
                     "Not starting job because prior execution is running and concurrency policy "
                     "is Forbid");
    return kube::Done{};
  }
  if (policy == "Replace") {
    kube::Outcome replaced = Replace(cron_job);
    if (!replaced.ok()) return replaced;
  }
  kube::Result<batch::Job> job = kube::Create(context_.client, cronjobs::NewJob(cron_job, time));
  const bool made = job.ok();
  if (!made && kube::IsAlreadyExists(job.status())) {
    // Made before, perhaps by a controller that could not write it down any more.
    job = kube::Get<batch::Job>(context_.client, cron_job.metadata().namespace_(), name);
    if (job.ok() && !IsControlledBy(*job, cron_job)) return kube::Done{};
  }
  if (!job.ok()) {
    if (!kube::IsNamespaceTerminating(job.status())) {
      recorder_.Record(cron_job, kube::kWarning, "FailedCreate",
                       absl::StrCat("Error creating job: ", job.status().message));
    }
    return job.status();
  }
  job_writes_.ExpectRevision(kube::NameOf(cron_job), job->metadata().resource_version());
  if (made) {
    recorder_.Record(cron_job, kube::kNormal, "SuccessfulCreate",
                     absl::StrCat("Created job ", name));
  }
  *cron_job.mutable_status()->mutable_last_schedule_time() = FromWall(time);
  if (EndOf(*job).empty() && !IsActive(cron_job, job->metadata().uid())) {
    *cron_job.mutable_status()->add_active() = kube::ReferenceTo(*job);
  }
  return kube::Done{};
}

kube::Outcome CronJobController::Replace(batch::CronJob& cron_job) {
  const google::protobuf::RepeatedPtrField<core::ObjectReference> active =
      cron_job.status().active();
  for (const core::ObjectReference& job : active) {
    if (!DeleteJob(cron_job, job.name(), job.uid())) {
      return kube::InternalError(
          absl::StrCat("could not replace job ", job.namespace_(), "/", job.name()));
    }
  }
  return kube::Done{};
}

bool CronJobController::DeleteJob(batch::CronJob& cron_job, const std::string& name,
                                  const std::string& uid) {
  kube::DeleteOptions options;
  options.uid = uid;
  options.propagation = "Background";
  const kube::Outcome deleted =
      kube::Delete<batch::Job>(context_.client, cron_job.metadata().namespace_(), name, options);
  if (!deleted.ok() && !kube::IsNotFound(deleted.status())) {
    recorder_.Record(cron_job, kube::kWarning, "FailedDelete",
                     absl::StrCat("Deleted job: ", deleted.status().message));
    return false;
  }
  RemoveActive(cron_job, uid);
  if (deleted.ok()) {
    recorder_.Record(cron_job, kube::kNormal, "SuccessfulDelete",
                     absl::StrCat("Deleted job ", name));
  }
  return true;
}

kube::Outcome CronJobController::WriteStatus(const batch::CronJob& before,
                                             const batch::CronJob& cron_job) {
  using google::protobuf::util::MessageDifferencer;
  if (MessageDifferencer::Equals(before.status(), cron_job.status())) return kube::Done{};
  const kube::Result<batch::CronJob> written = kube::UpdateStatus(context_.client, cron_job);
  if (!written.ok()) return written.status();
  cron_job_writes_.ExpectRevision(kube::NameOf(cron_job), written->metadata().resource_version());
  return kube::Done{};
}

}  // namespace

std::unique_ptr<Running> NewCronJobController(Context& context) {
  return std::make_unique<CronJobController>(context);
}

}  // namespace meltemi::controllers
