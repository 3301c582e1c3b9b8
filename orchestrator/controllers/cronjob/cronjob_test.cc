#include "orchestrator/controllers/cronjob/cronjob.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "kube/batch/v1/batch.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using kube::batch::v1::CronJob;
using kube::batch::v1::Job;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::unique_ptr<Running> New(Context& context) { return NewCronJobController(context); }

// The world begins at 2024-01-01T00:00:00Z: minute 28401120.
class CronJobTest : public testing::Test {
 protected:
  CronJobTest() { world_.Run(New(world_.context())); }

  void Make(absl::string_view spec) {
    world_.Create<CronJob>(absl::StrCat(
        "{apiVersion: batch/v1, kind: CronJob, metadata: {name: report}, spec: {", spec,
        ", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, "
        "image: i}]}}}}}}"));
    world_.Settle();
  }
  CronJob Get() { return world_.Get<CronJob>("report"); }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const Job& job : world_.List<Job>()) names.push_back(job.metadata().name());
    return names;
  }
  void Finish(const std::string& name, bool success = true) {
    world_.Patch<Job>(
        name,
        absl::StrCat("{status: {startTime: '2024-01-01T00:00:00Z', ",
                     success ? "completionTime: '2024-01-01T00:10:00Z', succeeded: 1, " : "",
                     "conditions: [{type: ", success ? "SuccessCriteriaMet" : "FailureTarget",
                     ", status: 'True', lastTransitionTime: '2024-01-01T00:10:00Z'}, {type: ",
                     success ? "Complete" : "Failed",
                     ", status: 'True', lastTransitionTime: '2024-01-01T00:10:00Z'}]}}"),
        "status");
    world_.Settle();
  }

  World world_;
};

TEST_F(CronJobTest, MakesAJobWhenItIsTime) {
  Make("schedule: '*/5 * * * *'");
  world_.Advance(minutes(4));
  EXPECT_THAT(Names(), IsEmpty());
  world_.Advance(minutes(2));
  EXPECT_THAT(Names(), ElementsAre("report-28401125"));
  EXPECT_EQ(Get().status().last_schedule_time().seconds(), 28401125 * 60);
  ASSERT_EQ(Get().status().active_size(), 1);
  EXPECT_EQ(Get().status().active(0).name(), "report-28401125");
  EXPECT_THAT(world_.Events(), ElementsAre("Normal SuccessfulCreate Created job report-28401125"));

  Finish("report-28401125");
  EXPECT_THAT(Get().status().active(), IsEmpty());
  EXPECT_EQ(Get().status().last_successful_time().seconds(), 28401130 * 60);
  EXPECT_THAT(world_.Events(),
              ElementsAre("Normal SawCompletedJob Saw completed job: report-28401125, condition: "
                          "Complete"));
  const size_t writes = world_.Writes();
  world_.Advance(minutes(3));
  EXPECT_EQ(world_.Writes(), writes);
}

TEST_F(CronJobTest, AllowsSeveralAtOnce) {
  Make("schedule: '* * * * *'");
  world_.Advance(minutes(3) + seconds(1));
  EXPECT_THAT(Names(), SizeIs(3));
  EXPECT_EQ(Get().status().active_size(), 3);
}

TEST_F(CronJobTest, ForbidsTheNextWhileOneRuns) {
  Make("schedule: '*/5 * * * *', concurrencyPolicy: Forbid");
  world_.Advance(minutes(11));
  EXPECT_THAT(Names(), ElementsAre("report-28401125"));
  EXPECT_THAT(
      world_.Events(),
      Contains("Normal JobAlreadyActive Not starting job because prior execution is running "
               "and concurrency policy is Forbid"));
  // Better late than never.
  Finish("report-28401125");
  EXPECT_THAT(Names(), ElementsAre("report-28401125", "report-28401130"));
}

TEST_F(CronJobTest, ReplacesTheOneThatRuns) {
  Make("schedule: '*/5 * * * *', concurrencyPolicy: Replace");
  world_.Advance(minutes(11));
  ASSERT_EQ(Get().status().active_size(), 1);
  EXPECT_EQ(Get().status().active(0).name(), "report-28401130");
  EXPECT_THAT(world_.Events(), Contains("Normal SuccessfulDelete Deleted job report-28401125"));
}

TEST_F(CronJobTest, SuspendsAndCatchesUpWithTheLastOne) {
  Make("schedule: '*/5 * * * *', suspend: true");
  world_.Advance(minutes(31));
  EXPECT_THAT(Names(), IsEmpty());
  world_.Patch<CronJob>("report", "{spec: {suspend: false}}");
  world_.Settle();
  EXPECT_THAT(Names(), ElementsAre("report-28401150"));
}

TEST_F(CronJobTest, MissesWhatIsTooLate) {
  Make("schedule: '0 * * * *', suspend: true, startingDeadlineSeconds: 60");
  world_.Advance(minutes(63));
  world_.Patch<CronJob>("report", "{spec: {suspend: false}}");
  world_.Advance(minutes(5));
  EXPECT_THAT(Names(), IsEmpty());
  EXPECT_THAT(world_.Events(), ElementsAre("Warning MissSchedule Missed scheduled time to start a "
                                           "job: Mon, 01 Jan 2024 01:00:00 +0000"));
  world_.Advance(minutes(53));
  EXPECT_THAT(Names(), ElementsAre("report-28401240"));
}

TEST_F(CronJobTest, WarnsOfTooManyMissedTimes) {
  Make("schedule: '* * * * *', suspend: true");
  world_.Advance(minutes(120));
  world_.Patch<CronJob>("report", "{spec: {suspend: false}}");
  world_.Settle();
  EXPECT_THAT(Names(), SizeIs(1));
  EXPECT_THAT(world_.Events(),
              Contains("Warning TooManyMissedTimes too many missed start times. Set or decrease "
                       ".spec.startingDeadlineSeconds or check clock skew"));
}

TEST_F(CronJobTest, KeepsAHistory) {
  Make("schedule: '* * * * *', successfulJobsHistoryLimit: 2, failedJobsHistoryLimit: 1");
  world_.Advance(minutes(6) + seconds(1));
  const std::vector<std::string> names = Names();
  ASSERT_THAT(names, SizeIs(6));
  for (int i = 0; i < 3; ++i) Finish(names[i]);
  for (int i = 3; i < 6; ++i) Finish(names[i], false);
  std::vector<std::string> kept;
  for (const Job& job : world_.List<Job>()) {
    if (!job.metadata().has_deletion_timestamp()) kept.push_back(job.metadata().name());
  }
  EXPECT_THAT(kept, ElementsAre(names[1], names[2], names[5]));
}

TEST_F(CronJobTest, GoesByItsTimeZone) {
  Make("schedule: '0 3 * * *', timeZone: Asia/Tokyo");
  world_.Advance(minutes(17 * 60 + 59));
  EXPECT_THAT(Names(), IsEmpty());
  world_.Advance(minutes(2));
  EXPECT_THAT(Names(), ElementsAre("report-28402200"));
}

TEST_F(CronJobTest, OneTimeMakesOneJobWhateverIsLost) {
  for (const apiserver::Fate fate : {apiserver::Fate::kLoseAnswer, apiserver::Fate::kLoseCall}) {
    for (int nth = 1; nth <= 4; ++nth) {
      for (const bool crash : {false, true}) {
        World world;
        world.Run(New(world.context()));
        int writes = 0;
        bool down = false;
        world.process().SetFate([&](const kube::ApiCall& call) {
          if (call.method == "GET") return apiserver::Fate::kPass;
          if (down) return apiserver::Fate::kLoseCall;
          if (++writes != nth) return apiserver::Fate::kPass;
          down = crash;
          return fate;
        });
        world.Create<CronJob>(
            "{apiVersion: batch/v1, kind: CronJob, metadata: {name: report}, spec: {schedule: "
            "'*/2 * * * *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, "
            "containers: [{name: c, image: i}]}}}}}}");
        for (int i = 0; i < 5; ++i) {
          world.Advance(minutes(1) + seconds(1));
          if (down) world.Restart(New);
          down = false;
        }
        const CronJob cron_job = world.Get<CronJob>("report");
        EXPECT_THAT(world.List<Job>(), SizeIs(2)) << nth;
        EXPECT_EQ(cron_job.status().active_size(), 2) << nth;
        EXPECT_EQ(cron_job.status().last_schedule_time().seconds(), 28401124 * 60) << nth;
      }
    }
  }
}

TEST_F(CronJobTest, AJobThatIsGoneIsStruckOff) {
  Make("schedule: '*/5 * * * *', concurrencyPolicy: Forbid");
  world_.Advance(minutes(6));
  world_.Delete<Job>("report-28401125", {.propagation = "Background"});
  world_.Settle();
  EXPECT_THAT(Get().status().active(), IsEmpty());
  EXPECT_THAT(world_.Events(), Contains("Normal MissingJob Active job went missing: "
                                        "report-28401125"));
  world_.Advance(minutes(5));
  EXPECT_THAT(Names(), ElementsAre("report-28401130"));
}

}  // namespace
}  // namespace meltemi::controllers
