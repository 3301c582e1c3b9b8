#include "orchestrator/controllers/deployment/deployment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/deployment/status.h"
#include "orchestrator/controllers/replicaset/replicaset.h"
#include "orchestrator/controllers/runtime/owners.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using apiserver::Fate;
using kube::apps::v1::Deployment;
using kube::apps::v1::DeploymentCondition;
using kube::apps::v1::ReplicaSet;
using kube::core::v1::Pod;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

// The documentation's nginx-deployment.
std::string Nginx(int replicas, absl::string_view more = "") {
  return absl::StrCat(R"({metadata: {name: nginx, labels: {app: nginx}}, spec: {replicas: )",
                      replicas, more, R"(, selector: {matchLabels: {app: nginx}},
      template: {metadata: {labels: {app: nginx}},
                 spec: {containers: [{name: nginx, image: "nginx:1.14.2"}]}}}})");
}

// Both add their handlers before the informers begin.
class Controllers final : public Running {
 public:
  explicit Controllers(Context& context)
      : sets_(NewReplicaSetController(context)), deployments_(NewDeploymentController(context)) {}
  void Start() override {
    sets_->Start();
    deployments_->Start();
  }

 private:
  std::unique_ptr<Running> sets_, deployments_;
};

class DeploymentTest : public testing::Test {
 protected:
  DeploymentTest() { world_.Run(std::make_unique<Controllers>(world_.context())); }

  // Until the rollout has ended: kubelets start and stop pods, time passes.
  void Finish() {
    for (int i = 0; i < 40; ++i) {
      world_.Settle();
      world_.ReapPods();
      world_.RunPods();
      world_.Advance(milliseconds(200));
    }
  }
  void Roll(const std::string& image) {
    world_.Patch<Deployment>("nginx", absl::StrCat("{spec: {template: {spec: {containers: [",
                                                   "{name: nginx, image: \"", image, "\"}]}}}}"));
  }
  // Those with pods, or to have some; by the image of their template.
  std::vector<std::string> Sizes() {
    std::vector<std::string> sizes;
    for (const ReplicaSet& set : world_.List<ReplicaSet>("default")) {
      sizes.push_back(absl::StrCat(set.spec().template_().spec().containers(0).image(), "=",
                                   set.spec().replicas()));
    }
    std::sort(sizes.begin(), sizes.end());
    return sizes;
  }
  // By the image of its template.
  ReplicaSet SetOf(const std::string& image) {
    for (const ReplicaSet& set : world_.List<ReplicaSet>("default")) {
      if (set.spec().template_().spec().containers(0).image() == image) return set;
    }
    ADD_FAILURE() << "no set of " << image;
    return {};
  }
  std::string Revision(const std::string& image) {
    return SetOf(image).metadata().annotations().at(kRevision);
  }
  // "True NewReplicaSetAvailable ReplicaSet …".
  std::string Condition(absl::string_view type) {
    const Deployment deployment = world_.Get<Deployment>("nginx");
    const DeploymentCondition* found = FindCondition(deployment.status(), type);
    return found == nullptr
               ? "none"
               : absl::StrCat(found->status(), " ", found->reason(), " ", found->message());
  }
  World world_;
};

TEST_F(DeploymentTest, MakesAReplicaSetWithTheHashOfItsTemplate) {
  const Deployment deployment = world_.Create<Deployment>(Nginx(3));
  world_.Settle();
  const std::vector<ReplicaSet> sets = world_.List<ReplicaSet>("default");
  ASSERT_THAT(sets, SizeIs(1));
  const ReplicaSet& set = sets[0];
  const std::string hash = set.metadata().labels().at(kTemplateHash);
  EXPECT_EQ(set.metadata().name(), "nginx-" + hash);
  EXPECT_TRUE(IsControlledBy(set, deployment));
  EXPECT_EQ(set.spec().selector().match_labels().at(kTemplateHash), hash);
  EXPECT_EQ(set.spec().template_().metadata().labels().at(kTemplateHash), hash);
  EXPECT_EQ(set.spec().replicas(), 3);
  EXPECT_EQ(set.metadata().annotations().at(kRevision), "1");
  EXPECT_EQ(set.metadata().annotations().at(kDesiredReplicas), "3");
  EXPECT_EQ(set.metadata().annotations().at(kMaxReplicas), "4");
  EXPECT_EQ(world_.Get<Deployment>("nginx").metadata().annotations().at(kRevision), "1");
  EXPECT_THAT(world_.Events(),
              testing::Contains(absl::StrCat("Normal ScalingReplicaSet Scaled up replica set ",
                                             set.metadata().name(), " from 0 to 3")));
}

TEST_F(DeploymentTest, TellsItsProgressInConditions) {
  world_.Create<Deployment>(Nginx(2));
  world_.Settle();
  const std::string name = world_.List<ReplicaSet>("default")[0].metadata().name();
  EXPECT_EQ(Condition("Available"),
            "False MinimumReplicasUnavailable Deployment does not have minimum availability.");
  EXPECT_EQ(Condition("Progressing"),
            absl::StrCat("True ReplicaSetUpdated ReplicaSet \"", name, "\" is progressing."));
  Finish();
  EXPECT_EQ(Condition("Available"),
            "True MinimumReplicasAvailable Deployment has minimum availability.");
  EXPECT_EQ(Condition("Progressing"), absl::StrCat("True NewReplicaSetAvailable ReplicaSet \"",
                                                   name, "\" has successfully progressed."));
  const auto status = world_.Get<Deployment>("nginx").status();
  EXPECT_EQ(status.replicas(), 2);
  EXPECT_EQ(status.updated_replicas(), 2);
  EXPECT_EQ(status.ready_replicas(), 2);
  EXPECT_EQ(status.available_replicas(), 2);
  EXPECT_EQ(status.unavailable_replicas(), 0);
  EXPECT_EQ(status.observed_generation(), 1);
}

TEST_F(DeploymentTest, RollsANewTemplateOut) {
  world_.Create<Deployment>(Nginx(3));
  Finish();
  Roll("nginx:1.16.1");
  Finish();
  EXPECT_THAT(Sizes(), ElementsAre("nginx:1.14.2=0", "nginx:1.16.1=3"));
  EXPECT_EQ(Revision("nginx:1.16.1"), "2");
  EXPECT_EQ(world_.Get<Deployment>("nginx").metadata().annotations().at(kRevision), "2");
  EXPECT_THAT(Condition("Progressing"), StartsWith("True NewReplicaSetAvailable"));
}

TEST_F(DeploymentTest, ANewTemplateInTheMiddleOfARolloutTakesOver) {
  world_.Create<Deployment>(Nginx(3));
  Finish();
  Roll("nginx:broken");
  world_.Settle();
  Roll("nginx:1.16.1");
  Finish();
  EXPECT_THAT(Sizes(), ElementsAre("nginx:1.14.2=0", "nginx:1.16.1=3", "nginx:broken=0"));
}

TEST_F(DeploymentTest, GoingBackGivesTheOldSetANewRevision) {
  world_.Create<Deployment>(Nginx(2));
  Finish();
  Roll("nginx:1.16.1");
  Finish();
  Roll("nginx:1.14.2");
  Finish();
  EXPECT_THAT(Sizes(), ElementsAre("nginx:1.14.2=2", "nginx:1.16.1=0"));
  EXPECT_EQ(Revision("nginx:1.14.2"), "3");
  EXPECT_EQ(SetOf("nginx:1.14.2").metadata().annotations().at(kRevisionHistory), "1");
  EXPECT_EQ(Revision("nginx:1.16.1"), "2");
}

TEST_F(DeploymentTest, CopiesTheChangeCauseToItsRevision) {
  world_.Create<Deployment>(Nginx(1));
  Finish();
  world_.Patch<Deployment>("nginx",
                           "{metadata: {annotations: {kubernetes.io/change-cause: new image}},"
                           " spec: {template: {spec: {containers: ["
                           "{name: nginx, image: \"nginx:1.16.1\"}]}}}}");
  Finish();
  EXPECT_EQ(SetOf("nginx:1.16.1").metadata().annotations().at("kubernetes.io/change-cause"),
            "new image");
  EXPECT_EQ(SetOf("nginx:1.14.2").metadata().annotations().count("kubernetes.io/change-cause"), 0u);
}

TEST_F(DeploymentTest, KeepsAsManyOldSetsAsItsHistoryMayHave) {
  world_.Create<Deployment>(Nginx(1, ", revisionHistoryLimit: 2"));
  Finish();
  for (const char* image : {"nginx:2", "nginx:3", "nginx:4"}) {
    Roll(image);
    Finish();
  }
  EXPECT_THAT(Sizes(), ElementsAre("nginx:2=0", "nginx:3=0", "nginx:4=1"));
}

TEST_F(DeploymentTest, PausedItScalesButDoesNotRollOut) {
  world_.Create<Deployment>(Nginx(2));
  Finish();
  world_.Patch<Deployment>("nginx", "{spec: {paused: true}}");
  world_.Settle();
  EXPECT_EQ(Condition("Progressing"), "Unknown DeploymentPaused Deployment is paused");
  Roll("nginx:1.16.1");
  world_.Patch<Deployment>("nginx", "{spec: {replicas: 3}}");
  Finish();
  EXPECT_THAT(Sizes(), ElementsAre("nginx:1.14.2=3"));
  world_.Patch<Deployment>("nginx", "{spec: {paused: false}}");
  Finish();
  EXPECT_THAT(Sizes(), ElementsAre("nginx:1.14.2=0", "nginx:1.16.1=3"));
  EXPECT_THAT(Condition("Progressing"), StartsWith("True NewReplicaSetAvailable"));
}

TEST_F(DeploymentTest, ScalesAllSetsInTheMiddleOfARollout) {
  world_.Create<Deployment>(
      Nginx(10, ", strategy: {rollingUpdate: {maxSurge: 3, maxUnavailable: 2}}"));
  Finish();
  Roll("nginx:does-not-exist");
  world_.Settle();
  world_.ReapPods();
  EXPECT_THAT(Sizes(), ElementsAre("nginx:1.14.2=8", "nginx:does-not-exist=5"));
  world_.Patch<Deployment>("nginx", "{spec: {replicas: 15}}", "scale");
  world_.Settle();
  EXPECT_THAT(Sizes(), ElementsAre("nginx:1.14.2=11", "nginx:does-not-exist=7"));
}

TEST_F(DeploymentTest, RecreateStopsAllOldPodsBeforeItMakesNewOnes) {
  world_.Create<Deployment>(Nginx(3, ", strategy: {type: Recreate}"));
  Finish();
  Roll("nginx:1.16.1");
  world_.Settle();
  EXPECT_THAT(Sizes(), ElementsAre("nginx:1.14.2=0"));
  EXPECT_THAT(world_.List<Pod>("default"), SizeIs(3));  // they are still stopping
  world_.ReapPods();
  EXPECT_THAT(Sizes(), ElementsAre("nginx:1.14.2=0", "nginx:1.16.1=3"));
}

TEST_F(DeploymentTest, ARolloutWithoutProgressHasFailedAfterItsDeadline) {
  world_.Create<Deployment>(Nginx(2, ", progressDeadlineSeconds: 60"));
  world_.Settle();
  world_.Advance(seconds(55));
  EXPECT_THAT(Condition("Progressing"), StartsWith("True ReplicaSetUpdated"));
  world_.Advance(seconds(10));
  const std::string name = world_.List<ReplicaSet>("default")[0].metadata().name();
  EXPECT_EQ(Condition("Progressing"), absl::StrCat("False ProgressDeadlineExceeded ReplicaSet \"",
                                                   name, "\" has timed out progressing."));
  // It goes on all the same.
  Finish();
  EXPECT_THAT(Condition("Progressing"), StartsWith("True NewReplicaSetAvailable"));
}

TEST_F(DeploymentTest, WaitsForPodsToBeReadyForMinReadySeconds) {
  world_.Create<Deployment>(Nginx(1, ", minReadySeconds: 30"));
  world_.Settle();
  world_.RunPods();
  EXPECT_THAT(Condition("Available"), StartsWith("False"));
  world_.Advance(seconds(31));
  EXPECT_THAT(Condition("Available"), StartsWith("True"));
  world_.Patch<Deployment>("nginx", "{spec: {minReadySeconds: 5}}");
  world_.Settle();
  EXPECT_EQ(SetOf("nginx:1.14.2").spec().min_ready_seconds(), 5);
}

TEST_F(DeploymentTest, ShowsWhyItsPodsCannotBeMade) {
  world_.process().SetFate([](const kube::ApiCall& call) {
    return call.method == "POST" && call.path == "/api/v1/namespaces/default/pods" ? Fate::kRefuse
                                                                                   : Fate::kPass;
  });
  world_.Create<Deployment>(Nginx(1));
  world_.Settle();
  EXPECT_THAT(Condition("ReplicaFailure"), StartsWith("True FailedCreate "));
  world_.process().SetFate({});
  world_.Advance(minutes(1));
  EXPECT_EQ(Condition("ReplicaFailure"), "none");
}

TEST_F(DeploymentTest, ASetThatCannotBeMadeIsAConditionAndAnEvent) {
  world_.process().SetFate([](const kube::ApiCall& call) {
    return call.method == "POST" && call.path == "/apis/apps/v1/namespaces/default/replicasets"
               ? Fate::kRefuse
               : Fate::kPass;
  });
  world_.Create<Deployment>(Nginx(1));
  world_.Settle();
  EXPECT_THAT(Condition("Progressing"),
              StartsWith("False ReplicaSetCreateError Failed to create new replica set \"nginx-"));
  EXPECT_THAT(world_.Events(),
              testing::Contains(StartsWith("Warning ReplicaSetCreateError Failed to create")));
  world_.process().SetFate({});
  world_.Advance(minutes(1));
  EXPECT_THAT(Sizes(), ElementsAre("nginx:1.14.2=1"));
}

TEST_F(DeploymentTest, ANameThatIsTakenLeadsToAnotherHash) {
  world_.Create<Deployment>(Nginx(1));
  world_.Settle();
  const std::string name = SetOf("nginx:1.14.2").metadata().name();
  world_.Delete<Deployment>("nginx", {.propagation = "Orphan"});
  // Somebody else's by now.
  world_.Patch<ReplicaSet>(name,
                           "{metadata: {labels: {app: other}, finalizers: [],"
                           " ownerReferences: [{apiVersion: v1, kind: Pod, name: x, uid: x,"
                           " controller: true}]}}");
  world_.Patch<Deployment>("nginx", "{metadata: {finalizers: null}}");
  world_.Settle();
  world_.Create<Deployment>(Nginx(1));
  world_.Advance(seconds(5));
  EXPECT_EQ(world_.Get<Deployment>("nginx").status().collision_count(), 1);
  EXPECT_THAT(Sizes(), ElementsAre("nginx:1.14.2=1", "nginx:1.14.2=1"));
}

TEST_F(DeploymentTest, AdoptsASetThatMatchesAndTakesItAsItsRevision) {
  world_.Create<Deployment>(Nginx(2));
  Finish();
  world_.Delete<Deployment>("nginx", {.propagation = "Orphan"});
  world_.Patch<ReplicaSet>(SetOf("nginx:1.14.2").metadata().name(),
                           "{metadata: {ownerReferences: null}}");
  world_.Patch<Deployment>("nginx", "{metadata: {finalizers: null}}");
  world_.Settle();
  const Deployment again = world_.Create<Deployment>(Nginx(2));
  Finish();
  EXPECT_THAT(Sizes(), ElementsAre("nginx:1.14.2=2"));
  EXPECT_TRUE(IsControlledBy(SetOf("nginx:1.14.2"), again));
  EXPECT_THAT(world_.List<Pod>("default"), SizeIs(2));
}

TEST_F(DeploymentTest, ALostAnswerMakesNoSecondSet) {
  int lost = 0;
  world_.process().SetFate([&](const kube::ApiCall& call) {
    return call.path == "/apis/apps/v1/namespaces/default/replicasets" && ++lost == 1
               ? Fate::kLoseAnswer
               : Fate::kPass;
  });
  world_.Create<Deployment>(Nginx(2));
  Finish();
  EXPECT_THAT(Sizes(), ElementsAre("nginx:1.14.2=2"));
  EXPECT_FALSE(world_.Get<Deployment>("nginx").status().has_collision_count());
  EXPECT_THAT(Condition("Progressing"), StartsWith("True NewReplicaSetAvailable"));
}

TEST_F(DeploymentTest, NothingIsWrittenWhenThereIsNothingToDo) {
  world_.Create<Deployment>(Nginx(2));
  Finish();
  const size_t writes = world_.Writes();
  world_.Advance(minutes(30));
  EXPECT_EQ(world_.Writes(), writes);
}

}  // namespace
}  // namespace meltemi::controllers
