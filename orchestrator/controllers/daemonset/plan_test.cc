#include "orchestrator/controllers/daemonset/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "orchestrator/controllers/daemonset/failure_backoff.h"

namespace meltemi::controllers::daemonsets {
namespace {

namespace apps = kube::apps::v1;
namespace core = kube::core::v1;

constexpr int64_t kNow = 1'700'000'000;

apps::DaemonSet MakeSet() {
  apps::DaemonSet set;
  set.mutable_metadata()->set_name("agent");
  set.mutable_metadata()->set_namespace_("default");
  set.mutable_spec()->mutable_update_strategy()->set_type("RollingUpdate");
  auto& rolling = *set.mutable_spec()->mutable_update_strategy()->mutable_rolling_update();
  rolling.mutable_max_unavailable()->set_int_val(1);
  rolling.mutable_max_surge()->set_int_val(0);
  return set;
}

apps::DaemonSet MakeSurgingSet(int surge) {
  apps::DaemonSet set = MakeSet();
  auto& rolling = *set.mutable_spec()->mutable_update_strategy()->mutable_rolling_update();
  rolling.mutable_max_unavailable()->set_int_val(0);
  rolling.mutable_max_surge()->set_int_val(surge);
  return set;
}

// "n1", "n2 NoSchedule", "n3 NoExecute".
std::vector<NodePtr> MakeNodes(const std::string& looks) {
  std::vector<NodePtr> nodes;
  for (absl::string_view look : absl::StrSplit(looks, ", ", absl::SkipEmpty())) {
    const std::vector<std::string> words = absl::StrSplit(look, ' ');
    auto node = std::make_shared<core::Node>();
    node->mutable_metadata()->set_name(words[0]);
    if (words.size() > 1) {
      core::Taint& taint = *node->mutable_spec()->add_taints();
      taint.set_key("own");
      taint.set_effect(words[1]);
    }
    nodes.push_back(node);
  }
  return nodes;
}

// "a@n1 ready", "b@n1 old", "c@n2 failed", "d@n2 going", "e@n3 unplaced".
std::vector<PodPtr> MakePods(const std::string& looks) {
  std::vector<PodPtr> pods;
  for (absl::string_view look : absl::StrSplit(looks, ", ", absl::SkipEmpty())) {
    const std::vector<std::string> words = absl::StrSplit(look, ' ');
    const std::vector<std::string> name = absl::StrSplit(words[0], '@');
    const auto is = [&](const char* word) {
      return std::find(words.begin(), words.end(), word) != words.end();
    };
    auto pod = std::make_shared<core::Pod>(NewPod(MakeSet(), is("old") ? "old" : "new", name[1]));
    pod->mutable_metadata()->set_name(name[0]);
    pod->mutable_metadata()->mutable_creation_timestamp()->set_seconds(kNow - 1000 + name[0][0]);
    if (!is("unplaced")) pod->mutable_spec()->set_node_name(name[1]);
    if (is("going")) pod->mutable_metadata()->mutable_deletion_timestamp()->set_seconds(kNow);
    pod->mutable_status()->set_phase(is("failed")      ? "Failed"
                                     : is("succeeded") ? "Succeeded"
                                                       : "Running");
    auto& condition = *pod->mutable_status()->add_conditions();
    condition.set_type("Ready");
    condition.set_status(is("ready") ? "True" : "False");
    condition.mutable_last_transition_time()->set_seconds(kNow - 10);
    pods.push_back(pod);
  }
  return pods;
}

View Look(const apps::DaemonSet& set, const std::string& nodes, const std::string& pods) {
  return View(set, MakeNodes(nodes), MakePods(pods), "new", WallTime(seconds(kNow)));
}

std::string Describe(const Plan& plan) {
  std::vector<std::string> out;
  for (const std::string& node : plan.create) out.push_back("create " + node);
  for (const Removal& removal : plan.remove) {
    out.push_back(absl::StrCat(removal.why == Removal::Why::kFailed      ? "failed "
                               : removal.why == Removal::Why::kSucceeded ? "succeeded "
                                                                         : "delete ",
                               removal.pod->metadata().name()));
  }
  return absl::StrJoin(out, ", ");
}

std::string ManageOf(const apps::DaemonSet& set, const std::string& nodes,
                     const std::string& pods) {
  return Describe(
      Manage(Look(set, nodes, pods), [](const std::string&) { return Duration::zero(); }));
}

std::string RollOf(const apps::DaemonSet& set, const std::string& nodes, const std::string& pods) {
  return Describe(Roll(Look(set, nodes, pods)));
}

TEST(NodeRule, AsksForNameSelectorAffinityAndTaints) {
  core::PodTemplateSpec pod_template;
  core::Node node;
  node.mutable_metadata()->set_name("n1");
  (*node.mutable_metadata()->mutable_labels())["disk"] = "ssd";
  const auto ask = [&] {
    const NodeRule::Answer answer = NodeRule(pod_template).Ask(node);
    return absl::StrCat(answer.start ? "start " : "", answer.stay ? "stay" : "");
  };
  EXPECT_EQ(ask(), "start stay");
  pod_template.mutable_spec()->set_node_name("n2");
  EXPECT_EQ(ask(), "");
  pod_template.mutable_spec()->set_node_name("n1");
  (*pod_template.mutable_spec()->mutable_node_selector())["disk"] = "ssd";
  EXPECT_EQ(ask(), "start stay");
  (*pod_template.mutable_spec()->mutable_node_selector())["disk"] = "hdd";
  EXPECT_EQ(ask(), "");
  pod_template.mutable_spec()->clear_node_selector();
  auto& field = *pod_template.mutable_spec()
                     ->mutable_affinity()
                     ->mutable_node_affinity()
                     ->mutable_required_during_scheduling_ignored_during_execution()
                     ->add_node_selector_terms()
                     ->add_match_expressions();
  field.set_key("disk");
  field.set_operator_("DoesNotExist");
  EXPECT_EQ(ask(), "");
  field.set_operator_("Exists");
  EXPECT_EQ(ask(), "start stay");
}

TEST(NodeRule, DaemonPodsTolerateTroubledNodes) {
  const struct {
    const char *key, *effect, *answer;
  } cases[] = {{"node.kubernetes.io/not-ready", "NoExecute", "start stay"},
               {"node.kubernetes.io/unreachable", "NoExecute", "start stay"},
               {"node.kubernetes.io/not-ready", "NoSchedule", "stay"},
               {"node.kubernetes.io/unschedulable", "NoSchedule", "start stay"},
               {"node.kubernetes.io/memory-pressure", "NoSchedule", "start stay"},
               {"node.kubernetes.io/network-unavailable", "NoSchedule", "stay"},
               {"own", "PreferNoSchedule", "start stay"},
               {"own", "NoSchedule", "stay"},
               {"own", "NoExecute", ""}};
  for (const auto& c : cases) {
    core::Node node;
    core::Taint& taint = *node.mutable_spec()->add_taints();
    taint.set_key(c.key);
    taint.set_effect(c.effect);
    const NodeRule::Answer answer = NodeRule({}).Ask(node);
    EXPECT_EQ(absl::StrCat(answer.start ? "start " : "", answer.stay ? "stay" : ""), c.answer)
        << c.key << ":" << c.effect;
  }
}

TEST(Manage, OnePodOnEachNode) {
  const struct {
    const char *name, *nodes, *pods, *plan;
  } cases[] = {
      {"each node", "n1, n2", "", "create n1, create n2"},
      {"the one that lacks it", "n1, n2", "a@n1 ready", "create n2"},
      {"not where taints forbid it", "n1, n2 NoSchedule, n3 NoExecute", "", "create n1"},
      {"what is there may stay", "n1 NoSchedule", "a@n1 ready", ""},
      {"unless it would be evicted", "n1 NoExecute", "a@n1 ready", "delete a"},
      {"the oldest stays", "n1", "b@n1 ready, a@n1, c@n1", "delete b, delete c"},
      {"one on the node before one on its way", "n1", "a@n1 unplaced, b@n1", "delete a"},
      {"failed", "n1", "a@n1 failed", "failed a"},
      {"succeeded", "n1", "a@n1 succeeded", "succeeded a"},
      {"one that goes is waited for", "n1", "a@n1 going", ""},
      {"one that has ended and goes is not", "n1", "a@n1 failed going", "create n1"},
      {"a node that is gone", "n1", "a@n1, b@n9, c@n9 unplaced", "delete c"},
  };
  for (const auto& c : cases) EXPECT_EQ(ManageOf(MakeSet(), c.nodes, c.pods), c.plan) << c.name;
}

TEST(Manage, AFailedPodIsKeptForAWhile) {
  const Plan plan = Manage(Look(MakeSet(), "n1", "a@n1 failed"),
                           [](const std::string&) { return Duration(seconds(4)); });
  EXPECT_TRUE(plan.empty());
  EXPECT_EQ(plan.wait, seconds(4));
}

TEST(Manage, WithSurgeTwoPodsMayShareANode) {
  const struct {
    const char *name, *pods, *plan;
  } cases[] = {
      {"the new one is not ready", "a@n1 old ready, b@n1", ""},
      {"the new one is", "a@n1 old ready, b@n1 ready", "delete a"},
      {"the old one is not", "a@n1 old, b@n1", "delete a"},
      {"three", "a@n1 old ready, b@n1 old ready, c@n1", "delete b"},
      {"one that goes is not waited for", "a@n1 going", "create n1"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(ManageOf(MakeSurgingSet(1), "n1", c.pods), c.plan) << c.name;
  }
}

TEST(Roll, TakesAsManyAsMayBeUnavailable) {
  const struct {
    const char *name, *pods, *plan;
  } cases[] = {
      {"one", "a@n1 old ready, b@n2 old ready, c@n3 old ready", "delete a"},
      {"not while one is missing", "a@n1 old ready, b@n2 old ready", ""},
      {"not while one goes", "a@n1 old ready going, b@n2 old ready, c@n3 old ready", ""},
      {"not while a new one is not ready", "a@n1, b@n2 old ready, c@n3 old ready", ""},
      {"the next", "a@n1 ready, b@n2 old ready, c@n3 old ready", "delete b"},
      {"old ones that are not ready all go", "a@n1 old, b@n2 old, c@n3 old ready",
       "delete a, delete b"},
      {"done", "a@n1 ready, b@n2 ready, c@n3 ready", ""},
  };
  for (const auto& c : cases) EXPECT_EQ(RollOf(MakeSet(), "n1, n2, n3", c.pods), c.plan) << c.name;
}

TEST(Roll, PercentagesAreRoundedUp) {
  apps::DaemonSet set = MakeSet();
  auto& unavailable = *set.mutable_spec()
                           ->mutable_update_strategy()
                           ->mutable_rolling_update()
                           ->mutable_max_unavailable();
  unavailable.set_type(1);
  unavailable.set_str_val("34%");
  EXPECT_EQ(RollOf(set, "n1, n2, n3", "a@n1 old ready, b@n2 old ready, c@n3 old ready"),
            "delete a, delete b");
}

TEST(Roll, SurgesFirst) {
  const struct {
    const char *name, *pods, *plan;
  } cases[] = {
      {"as many as allowed", "a@n1 old ready, b@n2 old ready, c@n3 old ready", "create n1"},
      {"one at a time", "a@n1 old ready, d@n1, b@n2 old ready, c@n3 old ready", ""},
      {"the old one goes", "a@n1 old ready, d@n1 ready, b@n2 ready, c@n3 ready", "delete a"},
      {"where nothing is lost at once", "a@n1 old, b@n2 old, c@n3 old ready",
       "create n1, create n2, create n3"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(RollOf(MakeSurgingSet(1), "n1, n2, n3", c.pods), c.plan) << c.name;
  }
}

TEST(Roll, OnDeleteReplacesNothingByItself) {
  apps::DaemonSet set = MakeSet();
  set.mutable_spec()->mutable_update_strategy()->set_type("OnDelete");
  EXPECT_EQ(RollOf(set, "n1", "a@n1 old ready"), "");
}

TEST(StatusOf, Counts) {
  apps::DaemonSet set = MakeSet();
  set.mutable_metadata()->set_generation(3);
  set.mutable_spec()->set_min_ready_seconds(60);
  const View view = Look(set, "n1, n2, n3 NoSchedule, n4", "a@n1 ready, b@n2 old, c@n3 ready");
  const apps::DaemonSetStatus status = StatusOf(view);
  EXPECT_EQ(status.desired_number_scheduled(), 3);
  EXPECT_EQ(status.current_number_scheduled(), 2);
  EXPECT_EQ(status.number_misscheduled(), 1);
  EXPECT_EQ(status.number_ready(), 1);
  EXPECT_EQ(status.number_available(), 0);
  EXPECT_EQ(status.number_unavailable(), 3);
  EXPECT_EQ(status.updated_number_scheduled(), 1);
  EXPECT_EQ(status.observed_generation(), 3);
  EXPECT_EQ(view.next_available, seconds(50));
}

TEST(FailureBackoff, DoublesAndForgets) {
  FailureBackoff backoff;
  const kube::NamespacedName set{"default", "agent"};
  MonotonicTime now{};
  for (const int delay : {1, 2, 4, 8}) {
    EXPECT_EQ(backoff.Remaining(set, 1, "n1", now), Duration::zero());
    backoff.Failed(set, 1, "n1", now);
    EXPECT_EQ(backoff.Remaining(set, 1, "n1", now), seconds(delay));
    now += seconds(delay);
  }
  backoff.Failed(set, 1, "n1", now);
  EXPECT_EQ(backoff.Remaining(set, 2, "n1", now), Duration::zero());  // another template
  EXPECT_EQ(backoff.Remaining(set, 1, "n2", now), Duration::zero());
  now += minutes(40);
  backoff.Failed(set, 1, "n1", now);
  EXPECT_EQ(backoff.Remaining(set, 1, "n1", now), seconds(1));
  backoff.DropNode("n1");
  EXPECT_EQ(backoff.Remaining(set, 1, "n1", now), Duration::zero());
}

}  // namespace
}  // namespace meltemi::controllers::daemonsets
