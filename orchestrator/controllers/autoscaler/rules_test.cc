// How many replicas, by tables: the formula, its treatment of pods that are not ready or unknown,
// stabilization and rates.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/controllers/autoscaler/replica_calculator.h"
#include "orchestrator/controllers/autoscaler/scaling_rules.h"

namespace meltemi::controllers {
namespace {

using kube::autoscaling::v2::HorizontalPodAutoscalerBehavior;
using kube::core::v1::Pod;

constexpr WallTime kNow{seconds(1'700'000'000)};

// A pod that asks for 1000m in each of two containers; ready since `ready_s` ago, if at all.
struct PodCase {
  std::string phase = "Running";
  bool ready = true;
  int64_t started_s = 3600, changed_s = 3500;  // ago
  int64_t metric = -1;                         // in thousandths; -1: none
  bool deleted = false;
};

std::vector<PodPtr> PodsOf(const std::vector<PodCase>& cases, PodMetrics* metrics) {
  std::vector<PodPtr> out;
  const int64_t now_s = 1'700'000'000;
  for (const PodCase& one : cases) {
    auto pod = std::make_shared<Pod>();
    const std::string name = absl::StrCat("pod-", out.size());
    pod->mutable_metadata()->set_name(name);
    if (one.deleted) pod->mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
    for (const char* container : {"web", "proxy"}) {
      auto* added = pod->mutable_spec()->add_containers();
      added->set_name(container);
      (*added->mutable_resources()->mutable_requests())["cpu"].set_string("1");
    }
    pod->mutable_status()->set_phase(one.phase);
    pod->mutable_status()->mutable_start_time()->set_seconds(now_s - one.started_s);
    auto* ready = pod->mutable_status()->add_conditions();
    ready->set_type("Ready");
    ready->set_status(one.ready ? "True" : "False");
    ready->mutable_last_transition_time()->set_seconds(now_s - one.changed_s);
    if (one.metric >= 0) (*metrics)[name] = {one.metric, kNow, seconds(10)};
    out.push_back(std::move(pod));
  }
  return out;
}

std::string Ask(const std::vector<PodCase>& cases, int32_t target_percent,
                absl::string_view container = "", absl::string_view resource = "cpu") {
  PodMetrics metrics;
  const std::vector<PodPtr> pods = PodsOf(cases, &metrics);
  const AutoscalerOptions options;
  const absl::StatusOr<Proposal> proposal =
      ProposeByUtilization({.pods = pods,
                            .metrics = metrics,
                            .current_replicas = static_cast<int32_t>(cases.size()),
                            .resource = std::string(resource),
                            .container = std::string(container),
                            .now = kNow,
                            .options = options},
                           target_percent);
  if (!proposal.ok()) return std::string(proposal.status().message());
  return absl::StrCat(proposal->replicas, " at ", proposal->utilization, "%");
}

std::vector<PodCase> Using(const std::vector<int64_t>& metrics) {
  std::vector<PodCase> out;
  for (const int64_t metric : metrics) out.push_back({.metric = metric});
  return out;
}

TEST(ReplicaCalculatorTest, FollowsTheFormula) {
  EXPECT_EQ(Ask(Using({600, 1000, 1400}), 30), "5 at 50%");
  EXPECT_EQ(Ask(Using({200, 200, 200}), 50), "1 at 10%");
  // Within a tenth of the target nothing changes.
  EXPECT_EQ(Ask(Using({1080, 1080}), 50), "2 at 54%");
  EXPECT_EQ(Ask(Using({920, 920}), 50), "2 at 46%");
  EXPECT_EQ(Ask(Using({1120, 1120}), 50), "3 at 56%");
  EXPECT_EQ(Ask(Using({0, 0}), 50), "0 at 0%");
}

TEST(ReplicaCalculatorTest, TakesWhatIsNotKnownForWhatSpeaksAgainstAChange) {
  // Upwards a pod without figures uses nothing; downwards all that it asks for.
  EXPECT_EQ(Ask({{.metric = 2000}, {.metric = 2000}, {}}, 50), "4 at 100%");
  EXPECT_EQ(Ask({{.metric = 200}, {.metric = 200}, {}}, 50), "3 at 10%");
  EXPECT_EQ(Ask({{.metric = 200}, {.metric = 200}, {.metric = 200}, {.metric = 200}, {}}, 50),
            "3 at 10%");
  // What would turn the direction changes nothing.
  EXPECT_EQ(Ask({{.metric = 1400}, {}, {}}, 50), "3 at 70%");
}

TEST(ReplicaCalculatorTest, LeavesOutWhoIsStarting) {
  const PodCase pending{.phase = "Pending"};
  const PodCase young{.ready = false, .started_s = 60, .changed_s = 60, .metric = 2000};
  const PodCase just_ready{.started_s = 60, .changed_s = 5, .metric = 2000};
  const PodCase never_ready{.ready = false, .started_s = 600, .changed_s = 590, .metric = 2000};
  const PodCase was_ready{.ready = false, .started_s = 600, .changed_s = 300, .metric = 2000};
  EXPECT_EQ(Ask({{.metric = 2000}, pending}, 50), "2 at 100%");
  EXPECT_EQ(Ask({{.metric = 1000}, young}, 50), "2 at 50%");
  EXPECT_EQ(Ask({{.metric = 1000}, just_ready}, 50), "2 at 50%");
  EXPECT_EQ(Ask({{.metric = 1000}, never_ready}, 50), "2 at 50%");
  // It has been ready once: its load is real.
  EXPECT_EQ(Ask({{.metric = 1000}, was_ready}, 50), "3 at 75%");
  EXPECT_EQ(Ask({{.metric = 1000}, {.metric = 2000, .deleted = true}}, 50), "2 at 50%");
  EXPECT_EQ(Ask({young}, 50), "did not receive metrics for targeted pods (pods might be unready)");
  // That is about processors alone: memory does not fall by itself.
  EXPECT_EQ(Ask({}, 50), "no pods returned by selector while calculating replica count");
}

TEST(ReplicaCalculatorTest, NeedsRequests) {
  EXPECT_EQ(Ask(Using({500}), 50, "", "memory"),
            "missing request for memory in container web of Pod pod-0");
  EXPECT_EQ(Ask(Using({900}), 50, "web"), "2 at 90%");
}

TEST(ReplicaCalculatorTest, AveragesWithoutRequests) {
  PodMetrics metrics;
  const std::vector<PodPtr> pods = PodsOf(Using({300, 500}), &metrics);
  const AutoscalerOptions options;
  const auto proposal = ProposeByAverage({.pods = pods,
                                          .metrics = metrics,
                                          .current_replicas = 2,
                                          .resource = "cpu",
                                          .container = "",
                                          .now = kNow,
                                          .options = options},
                                         100);
  ASSERT_TRUE(proposal.ok());
  EXPECT_EQ(proposal->replicas, 8);
  EXPECT_EQ(proposal->average, 400);
}

// Asked at moments, as a controller asks.
class Scaling {
 public:
  Scaling(int32_t current, int32_t min, int32_t max) : current_(current), min_(min), max_(max) {
    RememberStart(current, now_, &memory_);
  }
  void SetRule(bool up, absl::string_view select, int32_t window_s,
               const std::vector<std::tuple<std::string, int32_t, int32_t>>& policies) {
    behavior_set_ = true;
    auto* rules = up ? behavior_.mutable_scale_up() : behavior_.mutable_scale_down();
    rules->set_select_policy(std::string(select));
    rules->set_stabilization_window_seconds(window_s);
    for (const auto& [type, value, period_s] : policies) {
      auto* policy = rules->add_policies();
      policy->set_type(type);
      policy->set_value(value);
      policy->set_period_seconds(period_s);
    }
  }
  // "5 ScaleUpLimit ReadyForNewScale"
  std::string Ask(int32_t desired, Duration after = seconds(15)) {
    now_ += after;
    const ScalingQuestion question{.current = current_,
                                   .desired = desired,
                                   .min = min_,
                                   .max = max_,
                                   .behavior = behavior_set_ ? &behavior_ : nullptr,
                                   .downscale_stabilization = minutes(5),
                                   .now = now_};
    const ScalingAnswer answer = DecideReplicas(question, &memory_);
    if (answer.replicas != current_) {
      RememberScaling(question, answer.replicas, &memory_);
      current_ = answer.replicas;
    }
    EXPECT_EQ(answer.limited, answer.limited_reason != "DesiredWithinRange");
    return absl::StrCat(answer.replicas, " ", answer.limited_reason, " ", answer.able_reason);
  }

 private:
  int32_t current_, min_, max_;
  bool behavior_set_ = false;
  HorizontalPodAutoscalerBehavior behavior_;
  ScalingMemory memory_;
  MonotonicTime now_{seconds(1000)};
};

TEST(ScalingRulesTest, DoublesAtMost) {
  Scaling one(1, 1, 100);
  EXPECT_EQ(one.Ask(50), "4 ScaleUpLimit ReadyForNewScale");
  EXPECT_EQ(one.Ask(50), "8 ScaleUpLimit ReadyForNewScale");
  // What was asked for lately still counts.
  EXPECT_EQ(one.Ask(9), "16 ScaleUpLimit ScaleDownStabilized");
  Scaling bounded(5, 2, 6);
  EXPECT_EQ(bounded.Ask(9), "6 TooManyReplicas ReadyForNewScale");
}

TEST(ScalingRulesTest, WaitsBeforeItTakesAway) {
  Scaling scaling(6, 2, 10);
  EXPECT_EQ(scaling.Ask(1), "6 DesiredWithinRange ScaleDownStabilized");
  EXPECT_EQ(scaling.Ask(3, minutes(4)), "6 DesiredWithinRange ScaleDownStabilized");
  // The start is five minutes ago: the highest since is 3.
  EXPECT_EQ(scaling.Ask(1, minutes(1)), "3 DesiredWithinRange ScaleDownStabilized");
  EXPECT_EQ(scaling.Ask(1, minutes(6)), "2 TooFewReplicas ReadyForNewScale");
}

TEST(ScalingRulesTest, KeepsToRates) {
  Scaling scaling(10, 1, 100);
  scaling.SetRule(true, "Max", 0, {{"Pods", 4, 60}, {"Percent", 10, 60}});
  scaling.SetRule(false, "Min", 0, {{"Pods", 3, 60}, {"Percent", 50, 60}});
  EXPECT_EQ(scaling.Ask(50), "14 ScaleUpLimit ReadyForNewScale");
  EXPECT_EQ(scaling.Ask(50), "14 ScaleUpLimit ReadyForNewScale");  // the minute is not over
  EXPECT_EQ(scaling.Ask(50, minutes(1)), "18 ScaleUpLimit ReadyForNewScale");
  EXPECT_EQ(scaling.Ask(1, minutes(2)), "15 ScaleDownLimit ReadyForNewScale");
  EXPECT_EQ(scaling.Ask(1), "15 ScaleDownLimit ReadyForNewScale");
}

TEST(ScalingRulesTest, CanBeToldNotToMove) {
  Scaling scaling(10, 1, 100);
  scaling.SetRule(true, "Max", 0, {{"Percent", 100, 15}});
  scaling.SetRule(false, "Disabled", 0, {{"Percent", 100, 15}});
  EXPECT_EQ(scaling.Ask(1), "10 ScaleDownLimit ReadyForNewScale");
  EXPECT_EQ(scaling.Ask(15), "15 DesiredWithinRange ReadyForNewScale");
}

TEST(ScalingRulesTest, StabilizesBothWaysByItsWindows) {
  Scaling scaling(5, 1, 100);
  scaling.SetRule(true, "Max", 120, {{"Percent", 1000, 15}});
  scaling.SetRule(false, "Max", 120, {{"Percent", 100, 15}});
  EXPECT_EQ(scaling.Ask(20), "5 DesiredWithinRange ScaleUpStabilized");
  EXPECT_EQ(scaling.Ask(30, minutes(1)), "5 DesiredWithinRange ScaleUpStabilized");
  EXPECT_EQ(scaling.Ask(30, minutes(1) + seconds(10)), "30 DesiredWithinRange ReadyForNewScale");
}

}  // namespace
}  // namespace meltemi::controllers
