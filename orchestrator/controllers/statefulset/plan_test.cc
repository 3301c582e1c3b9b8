#include "orchestrator/controllers/statefulset/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace meltemi::controllers::statefulsets {
namespace {

namespace apps = kube::apps::v1;
namespace core = kube::core::v1;

constexpr int64_t kNow = 1'700'000'000;

apps::StatefulSet MakeSet(int replicas) {
  apps::StatefulSet set;
  set.mutable_metadata()->set_name("web");
  set.mutable_metadata()->set_namespace_("default");
  set.mutable_spec()->set_replicas(replicas);
  set.mutable_spec()->set_service_name("nginx");
  set.mutable_spec()->mutable_update_strategy()->set_type("RollingUpdate");
  set.mutable_spec()->mutable_update_strategy()->mutable_rolling_update()->set_partition(0);
  return set;
}

// "web-0 ready", "web-1 pending old", "web-2 ready going", "web-3 failed", "web-4 fresh" (ready for
// 5 s only).
PodPtr MakePod(const std::string& look) {
  auto pod = std::make_shared<core::Pod>();
  const std::vector<std::string> words = absl::StrSplit(look, ' ');
  const auto is = [&](const char* word) {
    return std::find(words.begin() + 1, words.end(), word) != words.end();
  };
  pod->mutable_metadata()->set_name(words[0]);
  auto& labels = *pod->mutable_metadata()->mutable_labels();
  labels[kPodNameLabel] = words[0];
  labels[kRevisionLabel] = is("old") ? "web-old" : "web-new";
  if (is("going")) pod->mutable_metadata()->mutable_deletion_timestamp()->set_seconds(kNow);
  pod->mutable_status()->set_phase(is("pending")     ? "Pending"
                                   : is("failed")    ? "Failed"
                                   : is("succeeded") ? "Succeeded"
                                                     : "Running");
  auto& condition = *pod->mutable_status()->add_conditions();
  condition.set_type("Ready");
  condition.set_status(is("ready") || is("fresh") ? "True" : "False");
  condition.mutable_last_transition_time()->set_seconds(kNow - (is("fresh") ? 5 : 3600));
  return pod;
}

std::vector<PodPtr> MakePods(const std::string& looks) {
  std::vector<PodPtr> pods;
  for (absl::string_view look : absl::StrSplit(looks, ", ", absl::SkipEmpty())) {
    pods.push_back(MakePod(std::string(look)));
  }
  return pods;
}

std::string Describe(const Plan& plan) {
  std::vector<std::string> out;
  for (const Action& action : plan.actions) {
    switch (action.type) {
      case Action::Type::kCreate:
        out.push_back(absl::StrCat("create ", action.ordinal, action.update ? "" : " current"));
        break;
      case Action::Type::kDelete:
        out.push_back(absl::StrCat("delete ", action.pod->metadata().name()));
        break;
      case Action::Type::kClaims:
        out.push_back(absl::StrCat("claims ", action.ordinal));
        break;
      case Action::Type::kRepair:
        out.push_back(absl::StrCat("repair ", action.ordinal));
        break;
    }
  }
  return absl::StrJoin(out, ", ");
}

std::string PlanOf(const apps::StatefulSet& set, const std::string& pods) {
  return Describe(PlanSet(set, MakePods(pods), "web-new", WallTime(seconds(kNow))));
}

struct Case {
  const char* name;
  int replicas;
  const char* pods;
  const char* ordered;
  const char* parallel;
};

const Case kCases[] = {
    {"the first", 3, "", "create 0", "create 0, create 1, create 2"},
    {"the next when the one before is ready", 3, "web-0 ready", "create 1", "create 1, create 2"},
    {"not before", 3, "web-0 pending", "", "create 1, create 2"},
    {"all are there", 2, "web-0 ready, web-1 ready", "", ""},
    {"a gap", 3, "web-0 ready, web-2 ready", "create 1", "create 1"},
    {"one that is going", 2, "web-0 ready going, web-1 ready", "", ""},
    {"one that has failed", 2, "web-0 failed, web-1 ready", "delete web-0", "delete web-0"},
    {"one that has succeeded", 2, "web-0 succeeded, web-1 ready", "delete web-0", "delete web-0"},
    {"one that has failed and goes", 2, "web-0 failed going", "", "create 1"},
    {"scaled down from the top", 1, "web-0 ready, web-1 ready, web-2 ready", "delete web-2",
     "delete web-2, delete web-1"},
    {"the next one waits", 1, "web-0 ready, web-1 ready, web-2 ready going", "", "delete web-1"},
    {"not while one that stays is not ready", 1, "web-0 pending, web-1 ready", "", "delete web-1"},
    {"an unhealthy one goes", 1, "web-0 ready, web-1 pending", "delete web-1", "delete web-1"},
    {"the top waits for a lower one", 1, "web-0 ready, web-1 pending, web-2 pending", "",
     "delete web-2, delete web-1"},
    {"scaling down comes before the update", 1, "web-0 ready old, web-1 ready", "delete web-1",
     "delete web-1, delete web-0"},
    {"an update begins at the top", 3, "web-0 ready old, web-1 ready old, web-2 ready old",
     "delete web-2", "delete web-2"},
    {"the next one", 3, "web-0 ready old, web-1 ready old, web-2 ready", "delete web-1",
     "delete web-1"},
    {"an update waits for the one that was replaced", 3,
     "web-0 ready old, web-1 ready old, web-2 pending", "", ""},
    {"an update waits for one that goes", 2, "web-0 ready old, web-1 ready old going", "", ""},
    {"an old one that does not come up", 2, "web-0 ready old, web-1 pending old", "",
     "delete web-1"},
    {"others' pods", 1, "web-0 ready, web-a ready, db-7 ready, web-01 ready, web--1 ready", "", ""},
};

TEST(PlanSet, Ordered) {
  for (const Case& c : kCases) EXPECT_EQ(PlanOf(MakeSet(c.replicas), c.pods), c.ordered) << c.name;
}

TEST(PlanSet, Parallel) {
  for (const Case& c : kCases) {
    apps::StatefulSet set = MakeSet(c.replicas);
    set.mutable_spec()->set_pod_management_policy("Parallel");
    EXPECT_EQ(PlanOf(set, c.pods), c.parallel) << c.name;
  }
}

TEST(PlanSet, OnDeleteReplacesNothingByItself) {
  apps::StatefulSet set = MakeSet(2);
  set.mutable_spec()->mutable_update_strategy()->set_type("OnDelete");
  EXPECT_EQ(PlanOf(set, "web-0 ready old, web-1 ready old"), "");
  EXPECT_EQ(PlanOf(set, "web-0 ready old"), "create 1");
}

TEST(PlanSet, BelowThePartitionTheCurrentRevisionStays) {
  apps::StatefulSet set = MakeSet(4);
  set.mutable_spec()->mutable_update_strategy()->mutable_rolling_update()->set_partition(2);
  EXPECT_EQ(PlanOf(set, "web-0 ready old, web-1 ready old, web-2 ready old, web-3 ready"),
            "delete web-2");
  EXPECT_EQ(PlanOf(set, "web-0 ready old, web-1 ready old, web-2 ready, web-3 ready"), "");
  EXPECT_EQ(PlanOf(set, "web-0 ready old, web-2 ready, web-3 ready"), "create 1 current");
  EXPECT_EQ(PlanOf(set, "web-0 ready old, web-1 ready old, web-3 ready"), "create 2");
}

TEST(PlanSet, OrdinalsMayStartElsewhere) {
  apps::StatefulSet set = MakeSet(2);
  set.mutable_spec()->mutable_ordinals()->set_start(5);
  EXPECT_EQ(PlanOf(set, ""), "create 5");
  EXPECT_EQ(PlanOf(set, "web-5 ready, web-6 ready, web-0 ready"), "delete web-0");
}

TEST(PlanSet, WaitsForAvailability) {
  apps::StatefulSet set = MakeSet(2);
  set.mutable_spec()->set_min_ready_seconds(8);
  const Plan plan = PlanSet(set, MakePods("web-0 fresh"), "web-new", WallTime(seconds(kNow)));
  EXPECT_EQ(Describe(plan), "");
  EXPECT_EQ(plan.wait, seconds(3));
}

TEST(PlanSet, ASetThatIsDeletedIsLeftAlone) {
  apps::StatefulSet set = MakeSet(2);
  set.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(kNow);
  EXPECT_EQ(PlanOf(set, "web-7 ready, web-0 failed"), "");
}

TEST(PlanSet, APodWithoutItsNameAsALabelGetsIt) {
  auto pod = std::make_shared<core::Pod>(*MakePod("web-0 ready"));
  pod->mutable_metadata()->mutable_labels()->erase(kPodNameLabel);
  EXPECT_EQ(Describe(PlanSet(MakeSet(1), {pod}, "web-new", WallTime(seconds(kNow)))), "repair 0");
}

TEST(PlanSet, APendingPodMayLackClaims) {
  apps::StatefulSet set = MakeSet(1);
  set.mutable_spec()->add_volume_claim_templates()->mutable_metadata()->set_name("data");
  EXPECT_EQ(PlanOf(set, "web-0 pending"), "claims 0");
}

TEST(StatusOf, CountsAndEndsTheRollout) {
  apps::StatefulSet set = MakeSet(3);
  set.mutable_metadata()->set_generation(4);
  const WallTime now = WallTime(seconds(kNow));
  apps::StatefulSetStatus status =
      StatusOf(set, MakePods("web-0 ready old, web-1 pending, web-2 ready old going"), "web-old",
               "web-new", 1, now);
  EXPECT_EQ(status.replicas(), 3);
  EXPECT_EQ(status.ready_replicas(), 2);
  EXPECT_EQ(status.current_replicas(), 1);
  EXPECT_EQ(status.updated_replicas(), 1);
  EXPECT_EQ(status.current_revision(), "web-old");
  EXPECT_EQ(status.observed_generation(), 4);
  EXPECT_EQ(status.collision_count(), 1);
  status = StatusOf(set, MakePods("web-0 ready, web-1 ready, web-2 ready"), "web-old", "web-new", 1,
                    now);
  EXPECT_EQ(status.current_revision(), "web-new");
  EXPECT_EQ(status.current_replicas(), 3);
}

TEST(NewPod, KnowsWhoItIs) {
  apps::StatefulSet set = MakeSet(1);
  for (const char* name : {"data", "logs"}) {
    set.mutable_spec()->add_volume_claim_templates()->mutable_metadata()->set_name(name);
  }
  (*set.mutable_spec()->mutable_selector()->mutable_match_labels())["app"] = "web";
  core::PodTemplateSpec pod_template;
  pod_template.mutable_spec()->add_volumes()->set_name("logs");
  pod_template.mutable_spec()->add_volumes()->set_name("config");
  const core::Pod pod = NewPod(set, pod_template, "web-abc", 7);
  EXPECT_EQ(pod.metadata().name(), "web-7");
  EXPECT_EQ(pod.metadata().labels().at("statefulset.kubernetes.io/pod-name"), "web-7");
  EXPECT_EQ(pod.metadata().labels().at("apps.kubernetes.io/pod-index"), "7");
  EXPECT_EQ(pod.metadata().labels().at("controller-revision-hash"), "web-abc");
  EXPECT_EQ(pod.spec().hostname(), "web-7");
  EXPECT_EQ(pod.spec().subdomain(), "nginx");
  std::vector<std::string> volumes;
  for (const core::Volume& volume : pod.spec().volumes()) {
    volumes.push_back(absl::StrCat(volume.name(), ":",
                                   volume.volume_source().persistent_volume_claim().claim_name()));
  }
  EXPECT_THAT(volumes, testing::ElementsAre("config:", "data:data-web-7", "logs:logs-web-7"));
  const std::vector<core::PersistentVolumeClaim> claims = ClaimsOf(set, 7);
  ASSERT_EQ(claims.size(), 2u);
  EXPECT_EQ(claims[1].metadata().name(), "logs-web-7");
  EXPECT_EQ(claims[1].metadata().namespace_(), "default");
  EXPECT_EQ(claims[1].metadata().labels().at("app"), "web");
}

}  // namespace
}  // namespace meltemi::controllers::statefulsets
