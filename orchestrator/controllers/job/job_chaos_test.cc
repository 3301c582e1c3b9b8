// A Job under crashes, lost answers and stale informers: whatever happens, each completion is
// counted once and no more pods than allowed are active.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "kube/batch/v1/batch.pb.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/job/facts.h"
#include "orchestrator/controllers/job/indexes.h"
#include "orchestrator/controllers/job/job.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using apiserver::Fate;
using kube::batch::v1::Job;
using kube::core::v1::Pod;

constexpr int kParallelism = 2;
constexpr int kCompletions = 4;

std::string JobText(bool indexed) {
  return absl::StrCat("{apiVersion: batch/v1, kind: Job, metadata: {name: pi}, spec: {",
                      "parallelism: ", kParallelism, ", completions: ", kCompletions,
                      indexed ? ", completionMode: Indexed" : "",
                      ", template: {spec: {restartPolicy: Never, containers: [{name: c, ",
                      "image: i}]}}}}");
}

bool IsOpen(const Pod& pod) {
  return !pod.metadata().has_deletion_timestamp() && pod.status().phase() != "Succeeded" &&
         pod.status().phase() != "Failed";
}

// From the watch history: what was true at each moment.
struct Seen {
  size_t active_max = 0, pods = 0, succeeded_pods = 0;
  std::set<std::string> doubled;  // indexes that two pods had at the same time
};

Seen Look(World& world) {
  Seen seen;
  std::map<std::string, Pod> pods;
  std::set<std::string> uids, succeeded;
  for (const apiserver::HistoryEntry& entry : world.api().history()) {
    if (entry.resource != "pods") continue;
    Pod pod;
    EXPECT_TRUE(kube::FromJson(entry.json, &pod).ok());
    uids.insert(pod.metadata().uid());
    if (pod.status().phase() == "Succeeded") succeeded.insert(pod.metadata().uid());
    if (entry.type == "DELETED") {
      pods.erase(entry.name);
    } else {
      pods[entry.name] = pod;
    }
    size_t active = 0;
    std::set<int> indexes;
    for (const auto& [name, other] : pods) {
      if (!IsOpen(other)) continue;
      ++active;
      const int index = jobs::IndexOf(other);
      if (index >= 0 && !indexes.insert(index).second) seen.doubled.insert(name);
    }
    seen.active_max = std::max(seen.active_max, active);
  }
  seen.pods = uids.size();
  seen.succeeded_pods = succeeded.size();
  return seen;
}

// Pods run and succeed until the Job is done; false: it is not done in time.
bool RunToTheEnd(World& world, const std::function<void()>& each_round) {
  for (int round = 0; round < 60; ++round) {
    each_round();
    world.Advance(seconds(2));
    world.RunPods();
    for (const Pod& pod : world.List<Pod>()) {
      if (IsOpen(pod)) world.FinishPod(pod.metadata().name(), "Succeeded");
    }
    world.Advance(seconds(2));
    world.ReapPods();
    if (jobs::IsFinished(world.Get<Job>("pi"))) return true;
  }
  return false;
}

void ExpectDoneOnce(World& world, const std::string& what) {
  const Job job = world.Get<Job>("pi");
  EXPECT_EQ(job.status().succeeded(), kCompletions) << what;
  EXPECT_EQ(job.status().failed(), 0) << what;
  EXPECT_NE(jobs::FindTrue(job.status(), "Complete"), nullptr) << what;
  EXPECT_EQ(job.status().uncounted_terminated_pods().succeeded_size(), 0) << what;
  const Seen seen = Look(world);
  EXPECT_LE(seen.active_max, static_cast<size_t>(kParallelism)) << what;
  EXPECT_EQ(seen.pods, static_cast<size_t>(kCompletions)) << what;
  EXPECT_TRUE(seen.doubled.empty()) << what;
  for (const Pod& pod : world.List<Pod>()) EXPECT_FALSE(jobs::IsTracked(pod)) << what;
}

// The fate of the n-th write; afterwards the process crashes, or lives on.
void OneAccident(int nth, Fate fate, bool crash, bool indexed) {
  const std::string what = absl::StrCat("write ", nth, ", fate ", static_cast<int>(fate),
                                        crash ? ", crash" : "", indexed ? ", indexed" : "");
  World world;
  const auto make = [](Context& context) { return NewJobController(context); };
  world.Run(make(world.context()));
  int writes = 0;
  bool down = false;
  world.process().SetFate([&](const kube::ApiCall& call) {
    if (call.method == "GET") return Fate::kPass;
    if (down) return Fate::kLoseCall;
    if (++writes != nth) return Fate::kPass;
    down = crash;
    return fate;
  });
  world.Create<Job>(JobText(indexed));
  EXPECT_TRUE(RunToTheEnd(world, [&] {
    if (!down) return;
    down = false;
    world.process().SetFate({});
    world.Restart(make);
  })) << what;
  ExpectDoneOnce(world, what);
}

class JobAccidents : public testing::TestWithParam<bool> {};

TEST_P(JobAccidents, AfterAnyWriteCountNothingTwice) {
  for (int nth = 1; nth <= 9 && !HasFailure(); ++nth) {
    OneAccident(nth, Fate::kLoseAnswer, nth % 2 == 0, GetParam());
    OneAccident(nth, nth % 2 == 0 ? Fate::kLoseAnswer : Fate::kLoseCall, true, GetParam());
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, JobAccidents, testing::Bool());

// Watches arrive one event at a time, in any order among informers, while pods end and the
// controller works.
TEST(JobChaos, StaleInformersDoNoHarm) {
  // In the last one a pod whose creation got no answer is late.
  const uint64_t seeds[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 64};
  for (const uint64_t seed : seeds) {
    if (testing::Test::HasFailure()) return;
    const std::string what = absl::StrCat("seed ", seed);
    World world(seed);
    FastRandom random(seed);
    const auto make = [](Context& context) { return NewJobController(context); };
    world.Run(make(world.context()));
    world.process().SetFate([&](const kube::ApiCall& call) {
      if (call.method == "GET" || random.Below(8) != 0) return Fate::kPass;
      return random.Below(2) == 0 ? Fate::kLoseAnswer : Fate::kLoseCall;
    });
    world.Create<Job>(JobText(seed % 2 == 0));
    for (int step = 0; step < 400; ++step) {
      switch (random.Below(8)) {
        case 0:
        case 1:
        case 2:
          world.executor().RunOne();
          break;
        case 3:
          if (world.api().undelivered() > 0) world.api().DeliverOne(random.Next());
          break;
        case 4:
        case 5:
          world.executor().AdvanceToNext(world.executor().clock().Now() + seconds(2));
          break;
        default:
          for (const Pod& pod : world.List<Pod>()) {
            if (IsOpen(pod) && random.Below(4) == 0) {
              world.FinishPod(pod.metadata().name(), "Succeeded");
            }
          }
      }
    }
    world.process().SetFate({});
    EXPECT_TRUE(RunToTheEnd(world, [] {})) << what;
    ExpectDoneOnce(world, what);
  }
}

}  // namespace
}  // namespace meltemi::controllers
