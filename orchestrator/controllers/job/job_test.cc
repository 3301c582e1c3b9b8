#include "orchestrator/controllers/job/job.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/batch/v1/batch.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/job/facts.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using jobs::FindTrue;
using kube::batch::v1::Job;
using kube::core::v1::Pod;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::string JobText(absl::string_view spec, absl::string_view pod_spec = "") {
  return absl::StrCat("{apiVersion: batch/v1, kind: Job, metadata: {name: pi}, spec: {", spec,
                      ", template: {spec: {restartPolicy: Never, ", pod_spec,
                      "containers: [{name: c, image: i}]}}}}");
}

class JobTest : public testing::Test {
 protected:
  JobTest() { world_.Run(NewJobController(world_.context())); }

  void Make(absl::string_view job) {
    world_.Create<Job>(job);
    Wait();
  }
  Job Get() { return world_.Get<Job>("pi"); }
  void Wait(Duration duration = seconds(1)) { world_.Advance(duration); }
  std::vector<std::string> Running() {
    std::vector<std::string> names;
    for (const Pod& pod : world_.List<Pod>()) {
      const std::string& phase = pod.status().phase();
      if (pod.metadata().has_deletion_timestamp() || phase == "Succeeded" || phase == "Failed") {
        continue;
      }
      names.push_back(pod.metadata().name());
    }
    return names;
  }
  void FinishAll(absl::string_view phase) {
    world_.RunPods();
    for (const std::string& name : Running()) world_.FinishPod(name, phase);
    Wait();
  }
  std::string Reason(absl::string_view condition) {
    const Job job = Get();
    const auto* found = FindTrue(job.status(), condition);
    return found == nullptr ? "" : found->reason();
  }

  World world_;
};

TEST_F(JobTest, RunsPodsUntilEnoughHaveSucceeded) {
  Make(JobText("completions: 3, parallelism: 2"));
  EXPECT_THAT(Running(), SizeIs(2));
  EXPECT_EQ(Get().status().active(), 2);
  EXPECT_EQ(Get().status().ready(), 0);
  world_.RunPods();
  Wait();
  EXPECT_EQ(Get().status().ready(), 2);

  world_.FinishPod(Running()[0], "Succeeded");
  Wait();
  EXPECT_EQ(Get().status().succeeded(), 1);
  EXPECT_THAT(Running(), SizeIs(2));
  FinishAll("Succeeded");
  EXPECT_EQ(Get().status().succeeded(), 3);
  EXPECT_EQ(Get().status().active(), 0);
  EXPECT_EQ(Reason("Complete"), "CompletionsReached");
  EXPECT_EQ(Reason("SuccessCriteriaMet"), "CompletionsReached");
  EXPECT_TRUE(Get().status().has_completion_time());
  EXPECT_THAT(world_.List<Pod>(), SizeIs(3));
  for (const Pod& pod : world_.List<Pod>()) EXPECT_THAT(pod.metadata().finalizers(), IsEmpty());
  EXPECT_THAT(world_.Events(), Contains("Normal Completed Job completed"));
}

TEST_F(JobTest, WritesNothingWhenNothingHappens) {
  Make(JobText("completions: 2, parallelism: 2"));
  world_.RunPods();
  Wait();
  const size_t writes = world_.Writes();
  Wait(minutes(30));
  EXPECT_EQ(world_.Writes(), writes);
  // What a status tells once more is not written either.
  world_.Patch<Job>("pi", "{metadata: {annotations: {a: b}}}");
  Wait();
  EXPECT_EQ(world_.Writes(), writes + 1);
}

TEST_F(JobTest, IndexesAreRunOnceEach) {
  Make(JobText("completions: 4, parallelism: 2, completionMode: Indexed"));
  std::vector<Pod> pods = world_.List<Pod>();
  ASSERT_THAT(pods, SizeIs(2));
  EXPECT_TRUE(absl::StartsWith(pods[0].metadata().name(), "pi-0-"));
  EXPECT_EQ(pods[1].metadata().labels().at(jobs::kIndexAnnotation), "1");
  EXPECT_EQ(pods[1].spec().hostname(), "pi-1");
  world_.RunPods();
  world_.FinishPod(pods[1].metadata().name(), "Succeeded");
  Wait();
  EXPECT_EQ(Get().status().completed_indexes(), "1");
  EXPECT_EQ(Get().status().succeeded(), 1);
  FinishAll("Succeeded");
  FinishAll("Succeeded");
  EXPECT_EQ(Get().status().completed_indexes(), "0-3");
  EXPECT_EQ(Reason("Complete"), "CompletionsReached");
  EXPECT_THAT(world_.List<Pod>(), SizeIs(4));
}

TEST_F(JobTest, FailuresAreRetriedEverMoreSlowlyUntilTheLimit) {
  Make(JobText("backoffLimit: 2"));
  for (const int wait : {10, 20}) {
    FinishAll("Failed");
    EXPECT_THAT(Running(), IsEmpty());
    Wait(seconds(wait - 3));
    EXPECT_THAT(Running(), IsEmpty());
    Wait(seconds(4));
    EXPECT_THAT(Running(), SizeIs(1));
  }
  EXPECT_EQ(Get().status().failed(), 2);
  world_.Events();
  FinishAll("Failed");
  EXPECT_EQ(Get().status().failed(), 3);
  EXPECT_EQ(Reason("FailureTarget"), "BackoffLimitExceeded");
  EXPECT_EQ(Reason("Failed"), "BackoffLimitExceeded");
  EXPECT_THAT(world_.Events(),
              Contains("Warning BackoffLimitExceeded Job has reached the specified backoff limit"));
  Wait(minutes(20));
  EXPECT_THAT(Running(), IsEmpty());
}

TEST_F(JobTest, IsEndedAtItsDeadlineAndClosedWhenItsPodsHaveEnded) {
  Make(JobText("activeDeadlineSeconds: 60, parallelism: 2"));
  world_.RunPods();
  Wait(seconds(50));
  EXPECT_THAT(Running(), SizeIs(2));
  Wait(seconds(15));
  EXPECT_THAT(Running(), IsEmpty());
  EXPECT_EQ(Reason("FailureTarget"), "DeadlineExceeded");
  EXPECT_EQ(Reason("Failed"), "");
  EXPECT_EQ(Get().status().terminating(), 2);
  world_.ReapPods();
  Wait();
  EXPECT_EQ(Reason("Failed"), "DeadlineExceeded");
  EXPECT_EQ(Get().status().failed(), 2);
  EXPECT_EQ(Get().status().terminating(), 0);
  EXPECT_THAT(world_.List<Pod>(), IsEmpty());
}

TEST_F(JobTest, IsSuspendedAndResumed) {
  Make(JobText("suspend: true, activeDeadlineSeconds: 100"));
  Wait(minutes(5));
  EXPECT_THAT(Running(), IsEmpty());
  EXPECT_EQ(Reason("Suspended"), "JobSuspended");
  EXPECT_FALSE(Get().status().has_start_time());
  world_.Patch<Job>("pi", "{spec: {suspend: false}}");
  Wait();
  EXPECT_THAT(Running(), SizeIs(1));
  EXPECT_EQ(Reason("Suspended"), "");
  EXPECT_EQ(Get().status().conditions(0).reason(), "JobResumed");
  world_.RunPods();
  world_.Patch<Job>("pi", "{spec: {suspend: true}}");
  Wait();
  EXPECT_THAT(Running(), IsEmpty());
  world_.ReapPods();
  Wait(minutes(5));
  // Pods that were taken away have not failed.
  EXPECT_EQ(Get().status().failed(), 0);
  EXPECT_EQ(Reason("Failed"), "");
  EXPECT_THAT(world_.Events(), testing::IsSupersetOf({"Normal Suspended Job suspended",
                                                      "Normal Resumed Job resumed"}));
}

TEST_F(JobTest, ScalesDown) {
  Make(JobText("parallelism: 3, completions: 9"));
  world_.RunPods();
  world_.Patch<Job>("pi", "{spec: {parallelism: 1}}");
  Wait();
  EXPECT_THAT(Running(), SizeIs(1));
  world_.ReapPods();
  Wait();
  EXPECT_EQ(Get().status().active(), 1);
  EXPECT_EQ(Get().status().failed(), 0);
}

TEST_F(JobTest, APodThatSomebodyDeletesIsReplacedAndCountsAsFailed) {
  Make(JobText("completions: 1"));
  world_.RunPods();
  world_.Delete<Pod>(Running()[0]);
  Wait();
  world_.ReapPods();
  Wait(seconds(60));
  EXPECT_EQ(Get().status().failed(), 1);
  EXPECT_THAT(Running(), SizeIs(1));
  EXPECT_THAT(world_.List<Pod>(), SizeIs(1));
}

TEST_F(JobTest, ReplacesOnlyWhatHasFailedWhenAskedTo) {
  Make(JobText("completions: 1, podReplacementPolicy: Failed"));
  world_.RunPods();
  const std::string name = Running()[0];
  world_.Delete<Pod>(name);
  Wait(minutes(5));
  EXPECT_THAT(Running(), IsEmpty());
  EXPECT_EQ(Get().status().terminating(), 1);
  world_.FinishPod(name, "Failed");
  Wait(minutes(1));
  EXPECT_THAT(Running(), SizeIs(1));
  EXPECT_EQ(Get().status().failed(), 1);
}

TEST_F(JobTest, AnExitCodeMayFailTheJobAtOnce) {
  Make(
      JobText("completions: 2, parallelism: 2, podFailurePolicy: {rules: [{action: FailJob, "
              "onExitCodes: {operator: In, values: [1]}}]}"));
  world_.RunPods();
  const std::string name = Running()[0];
  world_.FinishPod(name, "Failed");
  Wait();
  EXPECT_THAT(Running(), IsEmpty());
  world_.ReapPods();
  Wait();
  const Job job = Get();
  ASSERT_NE(FindTrue(job.status(), "Failed"), nullptr);
  EXPECT_EQ(FindTrue(job.status(), "Failed")->reason(), "PodFailurePolicy");
  EXPECT_EQ(FindTrue(job.status(), "Failed")->message(),
            absl::StrCat("Container c for pod default/", name,
                         " failed with exit code 1 matching FailJob rule at index 0"));
}

TEST_F(JobTest, EachIndexMayFailByItself) {
  Make(JobText("completions: 2, parallelism: 2, completionMode: Indexed, backoffLimitPerIndex: 1"));
  world_.RunPods();
  std::vector<Pod> pods = world_.List<Pod>();
  world_.FinishPod(pods[0].metadata().name(), "Failed");
  world_.FinishPod(pods[1].metadata().name(), "Succeeded");
  Wait();
  EXPECT_EQ(Get().status().failed_indexes(), "");
  // It is kept, to tell its successor how often the index has failed.
  EXPECT_TRUE(jobs::IsTracked(world_.Get<Pod>(pods[0].metadata().name())));
  Wait(seconds(15));
  ASSERT_THAT(Running(), SizeIs(1));
  EXPECT_EQ(world_.Get<Pod>(Running()[0]).metadata().annotations().at(jobs::kIndexFailures), "1");
  EXPECT_EQ(Get().status().failed(), 1);
  FinishAll("Failed");
  EXPECT_EQ(Get().status().failed_indexes(), "0");
  EXPECT_EQ(Get().status().completed_indexes(), "1");
  EXPECT_EQ(Reason("Failed"), "FailedIndexes");
}

TEST_F(JobTest, SucceedsByItsPolicy) {
  Make(
      JobText("completions: 3, parallelism: 3, completionMode: Indexed, "
              "successPolicy: {rules: [{succeededIndexes: '0'}]}"));
  world_.RunPods();
  world_.FinishPod(Running()[0], "Succeeded");
  Wait();
  EXPECT_THAT(Running(), IsEmpty());
  EXPECT_EQ(Reason("SuccessCriteriaMet"), "SuccessPolicy");
  world_.ReapPods();
  Wait();
  EXPECT_EQ(Reason("Complete"), "SuccessPolicy");
  EXPECT_EQ(Get().status().succeeded(), 1);
}

TEST_F(JobTest, ASidecarKeepsNoJobAlive) {
  Make(JobText("completions: 1",
               "initContainers: [{name: proxy, image: p, restartPolicy: Always}], "));
  FinishAll("Succeeded");
  EXPECT_EQ(Reason("Complete"), "CompletionsReached");
}

TEST_F(JobTest, IsOthersMatterWhenItSaysSo) {
  Make(JobText("completions: 1, managedBy: example.com/own"));
  Wait(minutes(1));
  EXPECT_THAT(Running(), IsEmpty());
  EXPECT_FALSE(Get().status().has_start_time());
}

TEST_F(JobTest, AdoptsPodsThatItsSelectorMatches) {
  world_.Create<Pod>(
      "{apiVersion: v1, kind: Pod, metadata: {name: stray, labels: {app: pi}}, "
      "spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}");
  Make(
      "{apiVersion: batch/v1, kind: Job, metadata: {name: pi}, spec: {completions: 1, "
      "manualSelector: true, selector: {matchLabels: {app: pi}}, template: {metadata: {labels: "
      "{app: pi}}, spec: {restartPolicy: Never, containers: [{name: c, image: i}]}}}}");
  EXPECT_THAT(Running(), ElementsAre("stray"));
  EXPECT_EQ(world_.Get<Pod>("stray").metadata().owner_references(0).name(), "pi");
  FinishAll("Succeeded");
  EXPECT_EQ(Get().status().succeeded(), 1);
  EXPECT_EQ(Reason("Complete"), "CompletionsReached");
}

TEST_F(JobTest, PodsOfADeletedJobAreLetGo) {
  Make(JobText("completions: 2, parallelism: 2"));
  world_.RunPods();
  world_.Delete<Job>("pi", {.propagation = "Background"});
  Wait();
  for (const Pod& pod : world_.List<Pod>()) EXPECT_FALSE(jobs::IsTracked(pod));
  EXPECT_THAT(Running(), SizeIs(2));  // the garbage collector's
}

TEST_F(JobTest, AFinalizerWithoutAJobIsTakenOff) {
  world_.Create<Pod>(
      "{apiVersion: v1, kind: Pod, metadata: {name: stray, finalizers: "
      "[batch.kubernetes.io/job-tracking]}, spec: {containers: [{name: c, image: i}]}}");
  Wait();
  EXPECT_FALSE(jobs::IsTracked(world_.Get<Pod>("stray")));
}

class Both final : public Running {
 public:
  Both(std::unique_ptr<Running> a, std::unique_ptr<Running> b)
      : a_(std::move(a)), b_(std::move(b)) {}
  void Start() override {
    a_->Start();
    b_->Start();
  }

 private:
  std::unique_ptr<Running> a_, b_;
};

TEST(FinishedJobs, AreDeletedAfterTheirTime) {
  World world;
  world.Run(std::make_unique<Both>(NewJobController(world.context()),
                                   NewFinishedJobsController(world.context())));
  world.Create<Job>(JobText("completions: 1, ttlSecondsAfterFinished: 100"));
  world.Advance(minutes(10));
  world.RunPods();
  world.FinishPod(world.List<Pod>()[0].metadata().name(), "Succeeded");
  world.Advance(seconds(90));
  EXPECT_TRUE(world.Find<Job>("pi").has_value());
  world.Advance(seconds(15));
  // In the foreground: it goes with its pods, which the garbage collector deletes.
  EXPECT_TRUE(world.Get<Job>("pi").metadata().has_deletion_timestamp());
}

}  // namespace
}  // namespace meltemi::controllers
