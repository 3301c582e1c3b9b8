#include "orchestrator/controllers/cronjob/due.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace meltemi::controllers::cronjobs {
namespace {

namespace batch = kube::batch::v1;

// 2024-01-01T00:00:00Z
constexpr int64_t kMidnight = 1'704'067'200;

WallTime At(int64_t minute) { return WallTime(seconds(kMidnight + 60 * minute)); }

batch::CronJob MakeCronJob() {
  batch::CronJob cron_job;
  cron_job.mutable_metadata()->set_name("report");
  cron_job.mutable_metadata()->mutable_creation_timestamp()->set_seconds(kMidnight + 30);
  return cron_job;
}

// "time 60, next 120": in minutes.
std::string Describe(const Due& due) {
  const auto minute = [](WallTime time) {
    return (absl::ToUnixSeconds(absl::FromChrono(time)) - kMidnight) / 60;
  };
  std::string out;
  if (due.time.has_value()) absl::StrAppend(&out, "time ", minute(*due.time), ", ");
  if (due.too_late.has_value()) absl::StrAppend(&out, "too late ", minute(*due.too_late), ", ");
  if (due.many_missed) absl::StrAppend(&out, "many, ");
  return absl::StrCat(out,
                      due.next.has_value() ? absl::StrCat("next ", minute(*due.next)) : "never");
}

std::string DueAt(const batch::CronJob& cron_job, int64_t minute,
                  absl::string_view schedule = "0 * * * *") {
  return Describe(DueOf(cron_job, *kube::CronSchedule::Parse(schedule), At(minute)));
}

TEST(DueOf, TheLastTimeThatWasMissed) {
  batch::CronJob cron_job = MakeCronJob();
  EXPECT_EQ(DueAt(cron_job, 59), "next 60");
  EXPECT_EQ(DueAt(cron_job, 60), "time 60, next 120");
  EXPECT_EQ(DueAt(cron_job, 200), "time 180, next 240");
  cron_job.mutable_status()->mutable_last_schedule_time()->set_seconds(kMidnight + 180 * 60);
  EXPECT_EQ(DueAt(cron_job, 200), "next 240");
  EXPECT_EQ(DueAt(cron_job, 240), "time 240, next 300");
}

TEST(DueOf, NotWhenItsDeadlineIsOver) {
  batch::CronJob cron_job = MakeCronJob();
  cron_job.mutable_spec()->set_starting_deadline_seconds(600);
  EXPECT_EQ(DueAt(cron_job, 70), "time 60, next 120");
  EXPECT_EQ(DueAt(cron_job, 71), "too late 60, next 120");
  cron_job.mutable_spec()->set_starting_deadline_seconds(INT64_MAX);
  EXPECT_EQ(DueAt(cron_job, 71), "time 60, next 120");
}

TEST(DueOf, ManyMissedTimesAreWorthAWarning) {
  batch::CronJob cron_job = MakeCronJob();
  EXPECT_EQ(DueAt(cron_job, 100, "* * * * *"), "time 100, next 101");
  EXPECT_EQ(DueAt(cron_job, 101, "* * * * *"), "time 101, many, next 102");
  cron_job.mutable_spec()->set_starting_deadline_seconds(600);
  EXPECT_EQ(DueAt(cron_job, 101, "* * * * *"), "time 101, next 102");
  // A clock that has jumped by fifty years.
  cron_job = MakeCronJob();
  EXPECT_EQ(DueAt(cron_job, 26'297'280, "* * * * *"), "time 26297280, many, next 26297281");
}

TEST(DueOf, AClockThatJumpsBackMakesNothingTwice) {
  batch::CronJob cron_job = MakeCronJob();
  cron_job.mutable_status()->mutable_last_schedule_time()->set_seconds(kMidnight + 180 * 60);
  EXPECT_EQ(DueAt(cron_job, 61), "next 240");
}

TEST(DueOf, NeverOnThe31stOfFebruary) {
  EXPECT_EQ(DueAt(MakeCronJob(), 61, "0 0 31 2 *"), "never");
}

TEST(NewJob, IsNamedByItsTime) {
  batch::CronJob cron_job = MakeCronJob();
  (*cron_job.mutable_spec()->mutable_job_template()->mutable_metadata()->mutable_labels())["a"] =
      "b";
  cron_job.mutable_spec()->mutable_job_template()->mutable_spec()->set_parallelism(4);
  batch::Job job = NewJob(cron_job, At(60));
  EXPECT_EQ(job.metadata().name(), "report-28401180");
  EXPECT_EQ(job.metadata().labels().at("a"), "b");
  EXPECT_EQ(job.metadata().annotations().at("batch.kubernetes.io/cronjob-scheduled-timestamp"),
            "2024-01-01T01:00:00Z");
  EXPECT_EQ(job.metadata().owner_references(0).kind(), "CronJob");
  EXPECT_EQ(job.spec().parallelism(), 4);
  cron_job.mutable_spec()->set_time_zone("Europe/Athens");
  job = NewJob(cron_job, At(60));
  EXPECT_EQ(job.metadata().annotations().at("batch.kubernetes.io/cronjob-scheduled-timestamp"),
            "2024-01-01T03:00:00+02:00");
}

}  // namespace
}  // namespace meltemi::controllers::cronjobs
