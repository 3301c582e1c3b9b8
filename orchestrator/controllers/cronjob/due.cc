#include "orchestrator/controllers/cronjob/due.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers::cronjobs {

namespace batch = kube::batch::v1;

Due DueOf(const batch::CronJob& cron_job, const kube::CronSchedule& schedule, WallTime now) {
  const WallTime since =
      ToWall(cron_job.status().has_last_schedule_time() ? cron_job.status().last_schedule_time()
                                                        : cron_job.metadata().creation_timestamp());
  Due due;
  due.time = schedule.Last(since, now);
  // A clock that has jumped back: nothing is due before that time comes again.
  due.next = schedule.Next(due.time.value_or(since));
  if (!due.time.has_value()) return due;
  WallTime counted_from = since;
  if (cron_job.spec().has_starting_deadline_seconds()) {
    // As long as there are times, and no longer.
    constexpr int64_t kSecondsMax = int64_t{100} * 366 * 86'400;
    const WallTime earliest =
        now - seconds(std::min(cron_job.spec().starting_deadline_seconds(), kSecondsMax));
    if (*due.time < earliest) {
      due.too_late = due.time;
      due.time.reset();
      return due;
    }
    counted_from = std::max(counted_from, earliest);
  }
  std::optional<WallTime> missed = counted_from;
  for (int i = 0; i <= kMissedMax && missed.has_value(); ++i) missed = schedule.Next(*missed);
  due.many_missed = missed.has_value() && *missed <= now;
  return due;
}

std::string JobName(const batch::CronJob& cron_job, WallTime time) {
  return absl::StrCat(cron_job.metadata().name(), "-",
                      std::chrono::floor<std::chrono::minutes>(time).time_since_epoch().count());
}

batch::Job NewJob(const batch::CronJob& cron_job, WallTime time) {
  const batch::JobTemplateSpec& job_template = cron_job.spec().job_template();
  batch::Job job;
  kube::meta::v1::ObjectMeta& metadata = *job.mutable_metadata();
  metadata.set_name(JobName(cron_job, time));
  metadata.set_namespace_(cron_job.metadata().namespace_());
  *metadata.mutable_labels() = job_template.metadata().labels();
  *metadata.mutable_annotations() = job_template.metadata().annotations();
  absl::TimeZone zone = absl::UTCTimeZone();
  if (!cron_job.spec().time_zone().empty()) absl::LoadTimeZone(cron_job.spec().time_zone(), &zone);
  std::string at = absl::FormatTime("%Y-%m-%dT%H:%M:%S%Ez", absl::FromChrono(time), zone);
  constexpr absl::string_view kUtc = "+00:00";
  if (absl::EndsWith(at, kUtc)) at.replace(at.size() - kUtc.size(), kUtc.size(), "Z");
  (*metadata.mutable_annotations())["batch.kubernetes.io/cronjob-scheduled-timestamp"] = at;
  *metadata.add_owner_references() = ControllerReference(cron_job);
  *job.mutable_spec() = job_template.spec();
  return job;
}

}  // namespace meltemi::controllers::cronjobs
