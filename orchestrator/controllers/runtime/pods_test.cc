#include "orchestrator/controllers/runtime/pods.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "kube/apps/v1/apps.pb.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Pod;
using testing::ElementsAre;

constexpr int64_t kNow = 1'700'000'000;

WallTime Now() { return WallTime(seconds(kNow)); }

// A pod that has been running and ready for an hour on n1.
std::shared_ptr<Pod> Running(const std::string& name) {
  auto pod = std::make_shared<Pod>();
  pod->mutable_metadata()->set_name(name);
  pod->mutable_metadata()->set_uid(name);
  pod->mutable_metadata()->mutable_creation_timestamp()->set_seconds(kNow - 4000);
  pod->mutable_spec()->set_node_name("n1");
  pod->mutable_status()->set_phase("Running");
  kube::core::v1::PodCondition& ready = *pod->mutable_status()->add_conditions();
  ready.set_type("Ready");
  ready.set_status("True");
  ready.mutable_last_transition_time()->set_seconds(kNow - 3600);
  return pod;
}

void SetReady(Pod& pod, bool ready, int64_t since) {
  pod.mutable_status()->mutable_conditions(0)->set_status(ready ? "True" : "False");
  pod.mutable_status()->mutable_conditions(0)->mutable_last_transition_time()->set_seconds(since);
}

TEST(Pods, AvailableIsReadyForLongEnough) {
  auto pod = Running("a");
  Duration in{};
  EXPECT_TRUE(IsAvailable(*pod, seconds(0), Now(), nullptr));
  EXPECT_TRUE(IsAvailable(*pod, seconds(3600), Now(), &in));
  EXPECT_FALSE(IsAvailable(*pod, seconds(3610), Now(), &in));
  EXPECT_EQ(in, seconds(10));
  SetReady(*pod, false, kNow - 3600);
  EXPECT_FALSE(IsAvailable(*pod, seconds(0), Now(), &in));
  EXPECT_EQ(in, Duration::zero());
}

TEST(Pods, ActiveIsNeitherFinishedNorBeingDeleted) {
  auto pod = Running("a");
  EXPECT_TRUE(IsActive(*pod));
  pod->mutable_metadata()->mutable_deletion_timestamp()->set_seconds(kNow);
  EXPECT_FALSE(IsActive(*pod));
  EXPECT_TRUE(IsTerminating(*pod));
  pod->mutable_status()->set_phase("Failed");
  EXPECT_FALSE(IsTerminating(*pod));
  EXPECT_TRUE(IsFinished(*pod));
}

// Each pair: the first is deleted before the second, though its uid comes later.
struct DeletionCase {
  const char* name;
  std::function<void(Pod& first, Pod& second)> make;
};

const DeletionCase kDeletionCases[] = {
    {"not on a node", [](Pod& first, Pod&) { first.mutable_spec()->clear_node_name(); }},
    {"pending", [](Pod& first, Pod&) { first.mutable_status()->set_phase("Pending"); }},
    {"unknown",
     [](Pod& first, Pod& second) {
       first.mutable_status()->set_phase("Unknown");
       second.mutable_status()->set_phase("Running");
     }},
    {"not ready", [](Pod& first, Pod&) { SetReady(first, false, kNow - 9000); }},
    {"lower deletion cost",
     [](Pod& first, Pod& second) {
       (*first.mutable_metadata()
             ->mutable_annotations())["controller.kubernetes.io/pod-deletion-cost"] = "-5";
       (*second.mutable_metadata()
             ->mutable_annotations())["controller.kubernetes.io/pod-deletion-cost"] =
           "007";  // not valid: 0
     }},
    {"more neighbours", [](Pod& first, Pod&) { first.mutable_spec()->set_node_name("full"); }},
    {"ready for less time", [](Pod& first, Pod&) { SetReady(first, true, kNow - 60); }},
    {"more restarts",
     [](Pod& first, Pod&) {
       first.mutable_status()->add_container_statuses()->set_restart_count(3);
     }},
    {"younger",
     [](Pod& first, Pod&) {
       first.mutable_metadata()->mutable_creation_timestamp()->set_seconds(kNow - 100);
     }},
};

TEST(Pods, ThoseThatAreMissedLeastAreDeletedFirst) {
  const auto neighbours = [](const Pod& pod) { return pod.spec().node_name() == "full" ? 5 : 1; };
  for (const DeletionCase& test : kDeletionCases) {
    auto first = Running("z");
    auto second = Running("a");
    test.make(*first, *second);
    for (const std::optional<WallTime> now : {std::optional<WallTime>(), {Now()}}) {
      std::vector<PodPtr> pods = {second, first};
      SortForDeletion(pods, neighbours, now);
      EXPECT_EQ(pods[0], first) << test.name;
    }
  }
}

TEST(Pods, TimesOfOneOrderOfMagnitudeLeaveItToTheUid) {
  auto older = Running("a");
  auto younger = Running("b");
  SetReady(*older, true, kNow - 3600);
  SetReady(*younger, true, kNow - 3500);
  std::vector<PodPtr> pods = {younger, older};
  SortForDeletion(pods, {}, Now());
  EXPECT_THAT(pods, ElementsAre(older, younger));
  SortForDeletion(pods, {});
  EXPECT_THAT(pods, ElementsAre(younger, older));
}

TEST(Pods, AreMadeFromATemplate) {
  kube::apps::v1::ReplicaSet set;
  set.mutable_metadata()->set_name("web");
  set.mutable_metadata()->set_namespace_("shop");
  set.mutable_metadata()->set_uid("u1");
  kube::core::v1::PodTemplateSpec& from = *set.mutable_spec()->mutable_template_();
  (*from.mutable_metadata()->mutable_labels())["app"] = "web";
  (*from.mutable_metadata()->mutable_annotations())["note"] = "x";
  from.mutable_metadata()->add_finalizers("example.com/f");
  from.mutable_spec()->add_containers()->set_name("c");
  const Pod pod = PodFromTemplate(from, set);
  EXPECT_EQ(pod.metadata().generate_name(), "web-");
  EXPECT_EQ(pod.metadata().namespace_(), "shop");
  EXPECT_EQ(pod.metadata().labels().at("app"), "web");
  EXPECT_EQ(pod.metadata().annotations().at("note"), "x");
  EXPECT_THAT(pod.metadata().finalizers(), ElementsAre("example.com/f"));
  EXPECT_EQ(pod.metadata().owner_references(0).uid(), "u1");
  EXPECT_EQ(pod.spec().containers(0).name(), "c");
  EXPECT_EQ(PodFromTemplate(from, set, "web-0").metadata().name(), "web-0");
  set.mutable_metadata()->set_name(std::string(253, 'x'));
  EXPECT_EQ(PodFromTemplate(from, set).metadata().generate_name(), std::string(253, 'x'));
}

TEST(Pods, TheHashTellsTemplatesApartAndStaysTheSame) {
  kube::core::v1::PodTemplateSpec a;
  (*a.mutable_metadata()->mutable_labels())["app"] = "web";
  (*a.mutable_metadata()->mutable_labels())["tier"] = "front";
  kube::core::v1::PodTemplateSpec b;
  (*b.mutable_metadata()->mutable_labels())["tier"] = "front";
  (*b.mutable_metadata()->mutable_labels())["app"] = "web";
  EXPECT_EQ(TemplateHash(a, 0), TemplateHash(b, 0));
  EXPECT_NE(TemplateHash(a, 0), TemplateHash(a, 1));
  b.mutable_spec()->set_node_name("n");
  EXPECT_NE(TemplateHash(a, 0), TemplateHash(b, 0));
  // Names of ReplicaSets in running clusters are made of it.
  EXPECT_EQ(TemplateHash({}, 0), "65bb57b6b5");
}

TEST(Pods, ScaledValues) {
  kube::intstr::IntOrString value;
  value.set_int_val(3);
  EXPECT_EQ(ScaledValue(value, 10, true), 3);
  value.set_type(1);
  value.set_str_val("25%");
  EXPECT_EQ(ScaledValue(value, 10, true), 3);
  EXPECT_EQ(ScaledValue(value, 10, false), 2);
  EXPECT_EQ(ScaledValue(value, 4, true), 1);
  value.set_str_val("25");
  EXPECT_EQ(ScaledValue(value, 10, true), 0);
}

}  // namespace
}  // namespace meltemi::controllers
