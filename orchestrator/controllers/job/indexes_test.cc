#include "orchestrator/controllers/job/indexes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "orchestrator/controllers/job/backoff.h"
#include "orchestrator/controllers/job/job_test_objects.h"

namespace meltemi::controllers::jobs {
namespace {

using testing::ElementsAre;

TEST(IndexSet, IsWrittenInRanges) {
  IndexSet set;
  for (int index : {7, 3, 1, 4, 5, 3}) set.Add(index);
  EXPECT_EQ(set.ToString(), "1,3-5,7");
  set.Add(8);
  EXPECT_EQ(set.ToString(), "1,3-5,7,8");
  set.Add(2);
  set.Add(6);
  EXPECT_EQ(set.ToString(), "1-8");
  EXPECT_EQ(set.size(), 8);
}

TEST(IndexSet, ReadsWhatItCanAndNothingBeyondCompletions) {
  const struct {
    const char *text, *read;
  } cases[] = {{"", ""},        {"1,3-5,7", "1,3-5,7"}, {"8,9,10-99", "8,9"},
               {"3-20", "3-9"}, {"x,2,3-y,4", "2,4"},   {"-1,2", "2"},
               {"5-3,1", "1"},  {"1,2,3", "1-3"},       {"7,1", "1,7"}};
  for (const auto& c : cases) {
    EXPECT_EQ(IndexSet::Parse(c.text, 10).ToString(), c.read) << c.text;
  }
}

TEST(IndexSet, KnowsWhatIsMissing) {
  const IndexSet set = IndexSet::Parse("0,2-3,6", 10);
  EXPECT_TRUE(set.Contains(3));
  EXPECT_FALSE(set.Contains(4));
  EXPECT_FALSE(set.Contains(7));
  EXPECT_THAT(set.FirstMissing(3, 10), ElementsAre(1, 4, 5));
  EXPECT_THAT(set.FirstMissing(9, 8), ElementsAre(1, 4, 5, 7));
  EXPECT_THAT(set.FirstMissing(0, 8), testing::IsEmpty());
  EXPECT_EQ(set.CommonWith(IndexSet::Parse("1-5", 10)), 2);
}

TEST(FinishTime, IsThatOfTheSidecarWhichEndsLast) {
  auto pod = MakePod("a", {.phase = "Succeeded", .finished_ago = 30});
  EXPECT_EQ(FinishTime(*pod), WallTime(seconds(kTestNow - 30)));
  kube::core::v1::Container& sidecar = *pod->mutable_spec()->add_init_containers();
  sidecar.set_name("proxy");
  sidecar.set_restart_policy("Always");
  auto& status = *pod->mutable_status()->add_init_container_statuses();
  status.set_name("proxy");
  status.mutable_state()->mutable_terminated()->mutable_finished_at()->set_seconds(kTestNow - 20);
  EXPECT_EQ(FinishTime(*pod), WallTime(seconds(kTestNow - 20)));
}

TEST(FinishTime, FallsBackToWhatIsKnown) {
  auto pod = MakePod("a", {});
  EXPECT_EQ(FinishTime(*pod), WallTime(seconds(kTestNow - 1000)));
  pod->mutable_metadata()->mutable_deletion_timestamp()->set_seconds(kTestNow + 30);
  pod->mutable_metadata()->set_deletion_grace_period_seconds(35);
  EXPECT_EQ(FinishTime(*pod), WallTime(seconds(kTestNow - 5)));
  auto& ready = *pod->mutable_status()->add_conditions();
  ready.set_type("Ready");
  ready.set_status("False");
  ready.mutable_last_transition_time()->set_seconds(kTestNow - 7);
  EXPECT_EQ(FinishTime(*pod), WallTime(seconds(kTestNow - 7)));
}

TEST(FailureRun, EndsWithASuccess) {
  const auto failed = [](int64_t ago) {
    return MakePod("f", {.phase = "Failed", .finished_ago = ago});
  };
  const PodPtr succeeded = MakePod("s", {.phase = "Succeeded", .finished_ago = 15});
  FailureRun run;
  run.Add({}, {failed(30), failed(40)});
  EXPECT_EQ(run.failures, 2);
  EXPECT_EQ(run.last, WallTime(seconds(kTestNow - 30)));
  run.Add({succeeded}, {failed(20), failed(10), failed(5)});
  EXPECT_EQ(run.failures, 2);
  EXPECT_EQ(run.last, WallTime(seconds(kTestNow - 5)));
  run.Add({succeeded}, {});
  EXPECT_EQ(run.failures, 0);
}

}  // namespace
}  // namespace meltemi::controllers::jobs
