#include "orchestrator/controllers/job/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orchestrator/controllers/job/job_test_objects.h"
#include "orchestrator/controllers/job/policies.h"

namespace meltemi::controllers::jobs {
namespace {

namespace core = kube::core::v1;
namespace batch = kube::batch::v1;
using testing::ElementsAre;
using testing::IsEmpty;

WallTime Now() { return WallTime(seconds(kTestNow)); }

std::vector<std::string> Names(const std::vector<PodPtr>& pods) {
  std::vector<std::string> names;
  for (const PodPtr& pod : pods) names.push_back(pod->metadata().name());
  return names;
}

Work WorkOn(const batch::Job& job, std::vector<PodPtr> pods, FailureRun run = {}) {
  return Manage(job, Gather(job, std::move(pods)), run, Now());
}

std::string Reason(const batch::Job& job, std::vector<PodPtr> pods) {
  const std::optional<Conclusion> end = Conclude(job, Gather(job, std::move(pods)), Now());
  return end.has_value() ? end->reason : "";
}

TEST(Manage, KeepsParallelismUpToWhatIsStillMissing) {
  struct Case {
    const char* name;
    int parallelism, completions, active, succeeded;
    size_t creates, removes;
  };
  const Case cases[] = {
      {"first pods", 2, 5, 0, 0, 2, 0},
      {"nothing to do", 2, 5, 2, 0, 0, 0},
      {"the last one alone", 2, 5, 0, 4, 1, 0},
      {"enough succeeded", 2, 5, 0, 5, 0, 0},
      {"one too many", 2, 5, 3, 0, 0, 1},
      {"more than are missing", 3, 5, 3, 4, 0, 2},
      {"scaled to nothing", 0, 5, 2, 1, 0, 2},
      {"work queue begins", 3, -1, 0, 0, 3, 0},
      {"work queue after the first success", 3, -1, 1, 1, 0, 0},
      {"a burst is bounded", 900, 900, 0, 0, 500, 0},
  };
  for (const Case& c : cases) {
    batch::Job job = MakeJob(c.parallelism, c.completions);
    job.mutable_status()->set_succeeded(c.succeeded);
    std::vector<PodPtr> pods;
    for (int i = 0; i < c.active; ++i) pods.push_back(MakePod(absl::StrCat("p", i), {}));
    const Work work = WorkOn(job, pods);
    EXPECT_EQ(work.create.size(), c.creates) << c.name;
    EXPECT_EQ(work.remove.size(), c.removes) << c.name;
  }
}

TEST(Manage, ASuspendedJobHasNoPods) {
  batch::Job job = MakeJob(2, 5);
  job.mutable_spec()->set_suspend(true);
  EXPECT_THAT(WorkOn(job, {}).create, IsEmpty());
  EXPECT_EQ(WorkOn(job, {MakePod("a", {}), MakePod("b", {})}).remove.size(), 2u);
}

TEST(Manage, IndexesAreTakenOnceAndTheLowestFirst) {
  batch::Job job = MakeIndexedJob(3, 6);
  job.mutable_status()->set_completed_indexes("1");
  EXPECT_THAT(WorkOn(job, {MakePod("a", {.index = 0})}).create, ElementsAre(2, 3));
  // Doubled, out of range, or none: surplus, and nothing is made in the same look.
  const Work work =
      WorkOn(job, {MakePod("a", {.phase = "Pending", .index = 0}), MakePod("b", {.index = 0}),
                   MakePod("c", {.index = 6}), MakePod("d", {})});
  EXPECT_THAT(Names(work.remove), testing::UnorderedElementsAre("a", "c", "d"));
  EXPECT_THAT(work.create, IsEmpty());
}

TEST(Manage, APodThatCouldNotBeCountedIsSurplus) {
  const Work work = WorkOn(MakeJob(2, 5), {MakePod("a", {.tracked = false}), MakePod("b", {})});
  EXPECT_THAT(Names(work.remove), ElementsAre("a"));
}

TEST(Manage, WaitsLongerAfterEachFailure) {
  const batch::Job job = MakeJob(1, 1);
  const struct {
    int failures;
    int64_t ago, wait;
  } cases[] = {{0, 0, 0},  {1, 0, 10},    {1, 4, 6},   {1, 10, 0},   {2, 5, 15},
               {3, 0, 40}, {7, 100, 500}, {9, 0, 600}, {99, 599, 1}, {99, 600, 0}};
  for (const auto& c : cases) {
    const Work work = WorkOn(job, {}, {c.failures, Now() - seconds(c.ago)});
    EXPECT_EQ(work.create.size(), c.wait == 0 ? 1u : 0u) << c.failures;
    EXPECT_EQ(work.wait.value_or(Duration::zero()), seconds(c.wait)) << c.failures;
  }
}

TEST(Manage, AClockThatJumpsBackIsNotWaitedFor) {
  EXPECT_EQ(WorkOn(MakeJob(1, 1), {}, {3, Now() + seconds(3600)}).create.size(), 1u);
  EXPECT_EQ(WorkOn(MakeJob(1, 1), {}, {3, Now() + seconds(60)}).wait, seconds(40));
}

TEST(Manage, PodsThatAreEndingAreReplacedAtOnceOrWhenTheyHaveFailed) {
  batch::Job job = MakeJob(1, 1);
  const std::vector<PodPtr> pods = {MakePod("a", {.deleted = true})};
  EXPECT_EQ(WorkOn(job, pods).create.size(), 1u);
  job.mutable_spec()->set_pod_replacement_policy("Failed");
  EXPECT_EQ(WorkOn(job, pods).create.size(), 0u);
}

TEST(Manage, EachIndexHasItsOwnBackoff) {
  batch::Job job = MakeIndexedJob(3, 3);
  job.mutable_spec()->set_backoff_limit_per_index(2);
  const std::vector<PodPtr> pods = {
      MakePod("a", {.phase = "Failed", .index = 0, .finished_ago = 3, .failures = 0}),
      MakePod("b", {.phase = "Failed", .index = 1, .finished_ago = 30, .failures = 1}),
      MakePod("c", {.phase = "Failed", .index = 2, .finished_ago = 1, .failures = 2})};
  const Facts facts = Gather(job, pods);
  EXPECT_EQ(facts.failed_indexes->ToString(), "2");  // its third failure
  EXPECT_THAT(facts.to_replace, testing::SizeIs(2));
  const Work work = Manage(job, facts, {}, Now());
  EXPECT_THAT(work.create, ElementsAre(1));
  EXPECT_EQ(work.wait, seconds(7));
}

TEST(Conclude, AfterTooManyFailures) {
  batch::Job job = MakeJob(1, 1);
  job.mutable_spec()->set_backoff_limit(1);
  job.mutable_status()->set_failed(1);
  EXPECT_EQ(Reason(job, {}), "");
  EXPECT_EQ(Reason(job, {MakePod("a", {.phase = "Failed"})}), "BackoffLimitExceeded");
  // One that has been counted does not count again.
  EXPECT_EQ(Reason(job, {MakePod("a", {.phase = "Failed", .tracked = false})}), "");
  job.mutable_status()->mutable_uncounted_terminated_pods()->add_failed("a");
  EXPECT_EQ(Reason(job, {MakePod("a", {.phase = "Failed"})}), "BackoffLimitExceeded");
}

TEST(Conclude, RestartsWithinAPodCountAsFailures) {
  batch::Job job = MakeJob(1, 1);
  job.mutable_spec()->set_backoff_limit(2);
  auto pod = MakePod("a", {});
  pod->mutable_status()->mutable_container_statuses(0)->set_restart_count(2);
  EXPECT_EQ(Reason(job, {pod}), "");
  job.mutable_spec()->mutable_template_()->mutable_spec()->set_restart_policy("OnFailure");
  EXPECT_EQ(Reason(job, {pod}), "BackoffLimitExceeded");
  pod->mutable_status()->mutable_container_statuses(0)->set_restart_count(1);
  EXPECT_EQ(Reason(job, {pod}), "");
}

TEST(Conclude, AtTheDeadline) {
  batch::Job job = MakeJob(1, 1);
  job.mutable_spec()->set_active_deadline_seconds(61);
  EXPECT_EQ(Reason(job, {}), "");
  EXPECT_EQ(UntilDeadline(job, Now()), seconds(1));
  job.mutable_spec()->set_active_deadline_seconds(60);
  EXPECT_EQ(Reason(job, {}), "DeadlineExceeded");
  job.mutable_spec()->set_suspend(true);
  EXPECT_EQ(Reason(job, {}), "");
  job.mutable_spec()->set_suspend(false);
  job.mutable_spec()->set_active_deadline_seconds(INT64_MAX);
  EXPECT_EQ(Reason(job, {}), "");
}

TEST(Conclude, WhenIndexesHaveFailed) {
  batch::Job job = MakeIndexedJob(4, 4);
  job.mutable_spec()->set_backoff_limit(INT32_MAX);
  job.mutable_spec()->set_backoff_limit_per_index(0);
  job.mutable_status()->set_completed_indexes("0,1");
  const auto failed = MakePod("a", {.phase = "Failed", .index = 2, .failures = 0});
  EXPECT_EQ(Reason(job, {failed}), "");
  EXPECT_EQ(Reason(job, {failed, MakePod("b", {.phase = "Succeeded", .index = 3})}),
            "FailedIndexes");
  job.mutable_spec()->set_max_failed_indexes(0);
  EXPECT_EQ(Reason(job, {failed}), "MaxFailedIndexesExceeded");
}

TEST(Conclude, BySuccessPolicy) {
  batch::Job job = MakeIndexedJob(4, 10);
  auto& rule = *job.mutable_spec()->mutable_success_policy()->add_rules();
  rule.set_succeeded_indexes("0,2-4");
  rule.set_succeeded_count(2);
  job.mutable_status()->set_completed_indexes("1,5-9");
  EXPECT_EQ(Reason(job, {}), "");
  job.mutable_status()->set_completed_indexes("1,3-6");
  EXPECT_EQ(Conclude(job, Gather(job, {}), Now())->message, "Matched rules at index 0");
  rule.clear_succeeded_count();
  EXPECT_EQ(Reason(job, {}), "");
  job.mutable_status()->set_completed_indexes("0-4");
  EXPECT_EQ(Reason(job, {}), "SuccessPolicy");
}

TEST(Conclude, ByTheRuleForAnExitCode) {
  batch::Job job = MakeJob(1, 1);
  auto& rules = *job.mutable_spec()->mutable_pod_failure_policy()->mutable_rules();
  auto& ignore = *rules.Add();
  ignore.set_action("Ignore");
  auto& pattern = *ignore.add_on_pod_conditions();
  pattern.set_type("DisruptionTarget");
  pattern.set_status("True");
  auto& fail = *rules.Add();
  fail.set_action("FailJob");
  fail.mutable_on_exit_codes()->set_operator_("In");
  fail.mutable_on_exit_codes()->add_values(42);

  auto pod = MakePod("a", {.phase = "Failed", .exit_code = 42});
  EXPECT_EQ(
      Conclude(job, Gather(job, {pod}), Now())->message,
      "Container c for pod default/a failed with exit code 42 matching FailJob rule at index 1");
  auto& disrupted = *pod->mutable_status()->add_conditions();
  disrupted.set_type("DisruptionTarget");
  disrupted.set_status("True");
  EXPECT_EQ(Reason(job, {pod}), "");
  EXPECT_EQ(Gather(job, {pod}).failed, 0);
  EXPECT_EQ(Gather(job, {MakePod("b", {.phase = "Failed", .exit_code = 1})}).failed, 1);
}

TEST(Track, CountsInThreeSteps) {
  const batch::Job job = MakeJob(2, 3);
  const std::vector<PodPtr> pods = {MakePod("a", {.phase = "Succeeded"}),
                                    MakePod("b", {.phase = "Failed"}), MakePod("c", {})};
  Tally tally = Track(job, job.status(), Gather(job, pods), std::nullopt, Now());
  EXPECT_THAT(tally.status.uncounted_terminated_pods().succeeded(), ElementsAre("a"));
  EXPECT_THAT(tally.status.uncounted_terminated_pods().failed(), ElementsAre("b"));
  EXPECT_EQ(tally.status.succeeded(), 0);
  EXPECT_THAT(Names(tally.release), ElementsAre("a", "b"));

  Settle(tally.status, {"b", "c"});  // the finalizer of b could not be removed
  EXPECT_EQ(tally.status.succeeded(), 1);
  EXPECT_EQ(tally.status.failed(), 0);
  Settle(tally.status, {"c"});
  EXPECT_EQ(tally.status.failed(), 1);
  EXPECT_THAT(tally.status.uncounted_terminated_pods().failed(), IsEmpty());
}

TEST(Track, ACrashBetweenTheStepsCountsNothingTwice) {
  batch::Job job = MakeJob(2, 3);
  job.mutable_status()->mutable_uncounted_terminated_pods()->add_succeeded("a");
  // Before the finalizer went: again the same.
  const std::vector<PodPtr> before = {MakePod("a", {.phase = "Succeeded"})};
  Tally tally = Track(job, job.status(), Gather(job, before), std::nullopt, Now());
  EXPECT_THAT(tally.status.uncounted_terminated_pods().succeeded(), ElementsAre("a"));
  EXPECT_EQ(Gather(job, before).succeeded, 1);
  // After it went, and after the pod went.
  for (const std::vector<PodPtr>& pods :
       {std::vector<PodPtr>{MakePod("a", {.phase = "Succeeded", .tracked = false})},
        std::vector<PodPtr>{}}) {
    EXPECT_EQ(Gather(job, pods).succeeded, 1);
    tally = Track(job, job.status(), Gather(job, pods), std::nullopt, Now());
    EXPECT_EQ(tally.status.succeeded(), 1);
    EXPECT_THAT(tally.status.uncounted_terminated_pods().succeeded(), IsEmpty());
  }
}

// It was being deleted, so it was written down as failed; then the controller was killed.
TEST(Track, WhatHasBeenWrittenDownAsFailedDoesNotSucceedToo) {
  for (batch::Job job : {MakeJob(1, 1), MakeIndexedJob(1, 1)}) {
    job.mutable_status()->mutable_uncounted_terminated_pods()->add_failed("a");
    const std::vector<PodPtr> pods = {
        MakePod("a", {.phase = "Succeeded", .index = 0, .deleted = true})};
    EXPECT_EQ(Gather(job, pods).succeeded, 0);
    EXPECT_EQ(Gather(job, pods).failed, 1);
    EXPECT_EQ(Reason(job, pods), "");
    EXPECT_EQ(Track(job, job.status(), Gather(job, pods), std::nullopt, Now()).release.size(), 1u);
  }
}

TEST(Track, IndexesAreCountedByTheirNumber) {
  batch::Job job = MakeIndexedJob(3, 5);
  job.mutable_status()->set_completed_indexes("0");
  job.mutable_status()->set_succeeded(1);
  const Tally tally = Track(job, job.status(),
                            Gather(job, {MakePod("a", {.phase = "Succeeded", .index = 1}),
                                         MakePod("b", {.phase = "Succeeded", .index = 1}),
                                         MakePod("c", {.phase = "Succeeded", .index = 9}),
                                         MakePod("d", {.phase = "Succeeded", .index = 0})}),
                            std::nullopt, Now());
  EXPECT_EQ(tally.status.completed_indexes(), "0,1");
  EXPECT_EQ(tally.status.succeeded(), 2);
  EXPECT_EQ(tally.release.size(), 4u);
}

TEST(Track, OfAFailedJobEveryPodHasFailed) {
  const batch::Job job = MakeJob(2, 3);
  const Conclusion conclusion{false, "DeadlineExceeded", "late"};
  Tally tally = Track(job, job.status(), Gather(job, {MakePod("a", {})}), conclusion, Now());
  EXPECT_THAT(tally.status.uncounted_terminated_pods().failed(), ElementsAre("a"));
  EXPECT_NE(FindTrue(tally.status, "FailureTarget"), nullptr);
  EXPECT_FALSE(Close(tally.status, conclusion, Now()));
  Settle(tally.status, {});
  tally.status.set_terminating(1);
  EXPECT_FALSE(Close(tally.status, conclusion, Now()));
  tally.status.set_terminating(0);
  EXPECT_TRUE(Close(tally.status, conclusion, Now()));
  EXPECT_EQ(FindTrue(tally.status, "Failed")->reason(), "DeadlineExceeded");
}

TEST(Track, ManyPodsAreTakenInPortions) {
  const batch::Job job = MakeJob(2000, 2000);
  std::vector<PodPtr> pods;
  for (int i = 0; i < 700; ++i) {
    pods.push_back(MakePod(absl::StrCat("p", i), {.phase = "Succeeded"}));
  }
  const Tally tally = Track(job, job.status(), Gather(job, pods), std::nullopt, Now());
  EXPECT_EQ(tally.status.uncounted_terminated_pods().succeeded_size(), kUncountedMax);
  EXPECT_EQ(tally.release.size(), static_cast<size_t>(kUncountedMax));
  EXPECT_TRUE(tally.more);
}

TEST(NewPod, KnowsItsIndex) {
  batch::Job job = MakeIndexedJob(1, 5);
  job.mutable_spec()->set_backoff_limit_per_index(3);
  const auto failed = MakePod("a", {.phase = "Failed", .index = 4, .failures = 1});
  const core::Pod pod = NewPod(job, 4, failed.get());
  EXPECT_EQ(pod.metadata().generate_name(), "pi-4-");
  EXPECT_EQ(pod.metadata().annotations().at(kIndexAnnotation), "4");
  EXPECT_EQ(pod.metadata().labels().at(kIndexAnnotation), "4");
  EXPECT_EQ(pod.metadata().annotations().at(kIndexFailures), "2");
  EXPECT_EQ(pod.spec().hostname(), "pi-4");
  EXPECT_EQ(pod.spec().containers(0).env(0).name(), "JOB_COMPLETION_INDEX");
  EXPECT_EQ(pod.spec().containers(0).env(0).value_from().field_ref().field_path(),
            "metadata.labels['batch.kubernetes.io/job-completion-index']");
  EXPECT_TRUE(IsTracked(pod));
  job.mutable_metadata()->set_name(std::string(63, 'x'));
  EXPECT_EQ(NewPod(job, 4, nullptr).metadata().generate_name().size(), 58u);
}

}  // namespace
}  // namespace meltemi::controllers::jobs
