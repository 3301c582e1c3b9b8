#include "orchestrator/controllers/statefulset/statefulset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/claim.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/garbage/garbage.h"
#include "orchestrator/controllers/runtime/testing/world.h"
#include "orchestrator/controllers/statefulset/plan.h"

namespace meltemi::controllers {
namespace {

using kube::apps::v1::ControllerRevision;
using kube::apps::v1::StatefulSet;
using kube::core::v1::PersistentVolumeClaim;
using kube::core::v1::Pod;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

std::string SetText(absl::string_view spec) {
  return absl::StrCat(
      "{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: web}, spec: {serviceName: nginx, ",
      spec,
      ", selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: "
      "{containers: [{name: c, image: 'i:1'}]}}}}");
}

std::unique_ptr<Running> New(Context& context) { return NewStatefulSetController(context); }

class StatefulSetTest : public testing::Test {
 protected:
  StatefulSetTest() { world_.Run(New(world_.context())); }

  void Make(absl::string_view spec) {
    world_.Create<StatefulSet>(SetText(spec));
    world_.Settle();
  }
  StatefulSet Get() { return world_.Get<StatefulSet>("web"); }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const Pod& pod : world_.List<Pod>()) names.push_back(pod.metadata().name());
    return names;
  }
  // "1 2": the images of web-0, web-1 …; "-" for one that goes.
  std::string Images() {
    std::string out;
    for (const Pod& pod : world_.List<Pod>()) {
      const std::string image = pod.spec().containers(0).image().substr(2);
      absl::StrAppend(&out, out.empty() ? "" : " ",
                      pod.metadata().has_deletion_timestamp() ? "-" : image);
    }
    return out;
  }
  void SetImage(absl::string_view image) {
    world_.Patch<StatefulSet>(
        "web", absl::StrCat("{spec: {template: {spec: {containers: [{name: c, image: '", image,
                            "'}]}}}}"));
    world_.Settle();
  }
  // Pods run and go, until nothing changes.
  void RunAll() {
    for (int i = 0; i < 12; ++i) {
      world_.RunPods();
      world_.ReapPods();
      world_.Advance(seconds(1));
    }
  }

  World world_;
};

TEST_F(StatefulSetTest, MakesPodsOneAfterTheOther) {
  Make("replicas: 3");
  EXPECT_THAT(Names(), ElementsAre("web-0"));
  world_.RunPods();
  EXPECT_THAT(Names(), ElementsAre("web-0", "web-1"));
  world_.SetPodReady("web-0", false);
  world_.RunPods();
  EXPECT_THAT(Names(), ElementsAre("web-0", "web-1", "web-2"));
  world_.RunPods();
  EXPECT_EQ(Get().status().ready_replicas(), 3);
  EXPECT_EQ(Get().status().current_replicas(), 3);
  EXPECT_EQ(Get().status().current_revision(), Get().status().update_revision());
  EXPECT_EQ(world_.Get<Pod>("web-1").metadata().labels().at("controller-revision-hash"),
            Get().status().current_revision());
  EXPECT_THAT(world_.Events(),
              Contains("Normal SuccessfulCreate create Pod web-2 in StatefulSet web successful"));
  const size_t writes = world_.Writes();
  world_.Advance(minutes(30));
  EXPECT_EQ(world_.Writes(), writes);
}

TEST_F(StatefulSetTest, InParallelWhenAskedTo) {
  Make("replicas: 3, podManagementPolicy: Parallel");
  EXPECT_THAT(Names(), ElementsAre("web-0", "web-1", "web-2"));
}

TEST_F(StatefulSetTest, WaitsUntilAPodIsAvailable) {
  Make("replicas: 2, minReadySeconds: 10");
  world_.RunPods();
  EXPECT_THAT(Names(), ElementsAre("web-0"));
  EXPECT_EQ(Get().status().available_replicas(), 0);
  world_.Advance(seconds(11));
  EXPECT_THAT(Names(), ElementsAre("web-0", "web-1"));
  EXPECT_EQ(Get().status().available_replicas(), 1);
}

TEST_F(StatefulSetTest, ScalesDownFromTheTop) {
  Make("replicas: 3");
  RunAll();
  world_.Patch<StatefulSet>("web", "{spec: {replicas: 1}}");
  world_.Settle();
  EXPECT_TRUE(world_.Get<Pod>("web-2").metadata().has_deletion_timestamp());
  EXPECT_FALSE(world_.Get<Pod>("web-1").metadata().has_deletion_timestamp());
  world_.ReapPods();
  EXPECT_TRUE(world_.Get<Pod>("web-1").metadata().has_deletion_timestamp());
  world_.ReapPods();
  EXPECT_THAT(Names(), ElementsAre("web-0"));
  EXPECT_EQ(Get().status().replicas(), 1);
}

TEST_F(StatefulSetTest, UpdatesFromTheTopOneAtATime) {
  Make("replicas: 3");
  RunAll();
  SetImage("i:2");
  EXPECT_EQ(Images(), "1 1 -");
  const std::string old = Get().status().current_revision();
  EXPECT_NE(Get().status().update_revision(), old);
  world_.ReapPods();
  EXPECT_EQ(Images(), "1 1 2");
  world_.Advance(seconds(5));
  EXPECT_EQ(Images(), "1 1 2");  // not ready yet
  world_.RunPods();
  EXPECT_EQ(Images(), "1 - 2");
  EXPECT_EQ(Get().status().updated_replicas(), 1);
  RunAll();
  EXPECT_EQ(Images(), "2 2 2");
  EXPECT_EQ(Get().status().current_revision(), Get().status().update_revision());
  EXPECT_EQ(Get().status().updated_replicas(), 3);

  SetImage("i:1");
  EXPECT_EQ(Get().status().update_revision(), old);
  EXPECT_THAT(world_.List<ControllerRevision>(), SizeIs(2));
}

TEST_F(StatefulSetTest, APartitionHoldsTheUpdateBack) {
  Make("replicas: 3, updateStrategy: {type: RollingUpdate, rollingUpdate: {partition: 2}}");
  RunAll();
  SetImage("i:2");
  RunAll();
  EXPECT_EQ(Images(), "1 1 2");
  // One that is lost comes back as it was.
  world_.Delete<Pod>("web-0");
  RunAll();
  EXPECT_EQ(Images(), "1 1 2");
  world_.Patch<StatefulSet>("web", "{spec: {updateStrategy: {rollingUpdate: {partition: 0}}}}");
  RunAll();
  EXPECT_EQ(Images(), "2 2 2");
}

TEST_F(StatefulSetTest, OnDeleteWaitsForTheUser) {
  Make("replicas: 2, updateStrategy: {type: OnDelete}");
  RunAll();
  SetImage("i:2");
  RunAll();
  EXPECT_EQ(Images(), "1 1");
  world_.Delete<Pod>("web-0");
  RunAll();
  EXPECT_EQ(Images(), "2 1");
}

TEST_F(StatefulSetTest, PodsThatHaveEndedAreMadeAnew) {
  Make("replicas: 1");
  world_.RunPods();
  for (const char* phase : {"Failed", "Succeeded"}) {
    const std::string uid = world_.Get<Pod>("web-0").metadata().uid();
    world_.FinishPod("web-0", phase);
    world_.Settle();
    world_.ReapPods();
    world_.RunPods();
    EXPECT_NE(world_.Get<Pod>("web-0").metadata().uid(), uid) << phase;
    EXPECT_EQ(Get().status().ready_replicas(), 1) << phase;
  }
}

TEST_F(StatefulSetTest, ClaimsAreMadeAndKept) {
  Make(
      "replicas: 1, volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: "
      "[ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]");
  ASSERT_THAT(world_.List<PersistentVolumeClaim>(), SizeIs(1));
  const PersistentVolumeClaim claim = world_.Get<PersistentVolumeClaim>("data-web-0");
  EXPECT_EQ(claim.metadata().labels().at("app"), "web");
  EXPECT_EQ(world_.Get<Pod>("web-0")
                .spec()
                .volumes(0)
                .volume_source()
                .persistent_volume_claim()
                .claim_name(),
            "data-web-0");
  EXPECT_THAT(
      world_.Events(),
      Contains("Normal SuccessfulCreate create Claim data-web-0 Pod web-0 in StatefulSet web "
               "success"));
  world_.Delete<Pod>("web-0");
  world_.ReapPods();
  EXPECT_EQ(world_.Get<PersistentVolumeClaim>("data-web-0").metadata().uid(),
            claim.metadata().uid());
  EXPECT_THAT(Names(), ElementsAre("web-0"));
}

// With the garbage collector, which does what owners say.
class RetentionTest : public StatefulSetTest {
 protected:
  RetentionTest() { world_.Run(NewGarbageCollector(world_.context())); }

  void MakeWith(absl::string_view deleted, absl::string_view scaled, int replicas) {
    Make(absl::StrCat("replicas: ", replicas,
                      ", podManagementPolicy: Parallel, persistentVolumeClaimRetentionPolicy: "
                      "{whenDeleted: ",
                      deleted, ", whenScaled: ", scaled,
                      "}, volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: "
                      "[ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]"));
    world_.RunPods();
    world_.Settle();
  }
  void Scale(int replicas) {
    world_.Patch<StatefulSet>("web", absl::StrCat("{spec: {replicas: ", replicas, "}}"));
    world_.Advance(seconds(5));
  }
  void Reap() {
    for (int i = 0; i < 5; ++i) {
      world_.ReapPods();
      world_.Advance(seconds(10));
    }
  }
  // Without their prefix "data-web-".
  std::string Claims() {
    std::string out;
    for (const auto& claim : world_.List<PersistentVolumeClaim>()) {
      // What protects claims in use is another controller's: here nothing does.
      if (claim.metadata().has_deletion_timestamp()) {
        world_.Patch<PersistentVolumeClaim>(claim.metadata().name(),
                                            "{metadata: {finalizers: null}}");
        continue;
      }
      absl::StrAppend(&out, out.empty() ? "" : " ", claim.metadata().name().substr(9));
    }
    world_.Settle();
    return out;
  }
};

TEST_F(RetentionTest, ClaimsAreKeptUnlessSomethingElseIsAsked) {
  MakeWith("Retain", "Retain", 2);
  Scale(1);
  Reap();
  EXPECT_EQ(Claims(), "0 1");
  world_.Delete<StatefulSet>("web");
  Reap();
  EXPECT_EQ(Claims(), "0 1");
}

TEST_F(RetentionTest, ClaimsGoWithTheSet) {
  MakeWith("Delete", "Retain", 2);
  Scale(1);
  Reap();
  EXPECT_EQ(Claims(), "0 1") << "not when it is scaled";
  EXPECT_EQ(world_.Get<PersistentVolumeClaim>("data-web-0").metadata().owner_references(0).kind(),
            "StatefulSet");
  world_.Delete<StatefulSet>("web");
  Reap();
  EXPECT_EQ(Claims(), "");
}

TEST_F(RetentionTest, ClaimsGoWithPodsThatAreTooMany) {
  MakeWith("Retain", "Delete", 3);
  EXPECT_EQ(Claims(), "0 1 2");
  world_.Delete<Pod>("web-2");
  Reap();
  world_.RunPods();
  EXPECT_EQ(Claims(), "0 1 2") << "a pod that is made anew keeps its claim";
  Scale(1);
  EXPECT_EQ(Claims(), "0 1 2") << "as long as the pods are there";
  Reap();
  EXPECT_EQ(Claims(), "0");
  // Scaled up again: new claims.
  Scale(2);
  world_.RunPods();
  EXPECT_EQ(Claims(), "0 1");
  world_.Delete<StatefulSet>("web");
  Reap();
  EXPECT_EQ(Claims(), "0 1");
}

TEST_F(RetentionTest, APodThatIsWantedAgainKeepsItsClaim) {
  MakeWith("Delete", "Delete", 2);
  Scale(1);
  EXPECT_EQ(world_.Get<PersistentVolumeClaim>("data-web-1").metadata().owner_references(0).kind(),
            "Pod");
  Scale(2);
  EXPECT_EQ(world_.Get<PersistentVolumeClaim>("data-web-1").metadata().owner_references(0).kind(),
            "StatefulSet");
  Reap();
  EXPECT_EQ(Claims(), "0 1");
  world_.Delete<StatefulSet>("web");
  Reap();
  EXPECT_EQ(Claims(), "");
}

TEST_F(RetentionTest, ClaimsOfSomebodyElseAreLeftAlone) {
  world_.Create<PersistentVolumeClaim>(
      "{metadata: {name: data-web-0, ownerReferences: [{apiVersion: example.com/v1, kind: Keeper, "
      "name: k, uid: u, controller: true}]}, spec: {accessModes: [ReadWriteOnce], resources: "
      "{requests: {storage: 1Gi}}}}");
  MakeWith("Delete", "Delete", 1);
  const auto claims = world_.List<PersistentVolumeClaim>();
  ASSERT_FALSE(claims.empty());
  EXPECT_EQ(claims[0].metadata().owner_references_size(), 1);
  EXPECT_EQ(claims[0].metadata().owner_references(0).kind(), "Keeper");
}

TEST_F(StatefulSetTest, ANameThatIsTakenIsWaitedFor) {
  world_.Create<Pod>(
      "{apiVersion: v1, kind: Pod, metadata: {name: web-0}, spec: {containers: [{name: c, "
      "image: other}]}}");
  Make("replicas: 1");
  const size_t writes = world_.Writes();
  world_.Advance(minutes(2));
  EXPECT_EQ(world_.Writes(), writes);
  EXPECT_THAT(world_.Get<Pod>("web-0").metadata().owner_references(), IsEmpty());
  world_.Delete<Pod>("web-0", {.grace_period_seconds = 0});
  world_.Advance(minutes(5));
  EXPECT_EQ(world_.Get<Pod>("web-0").metadata().owner_references(0).name(), "web");
}

TEST_F(StatefulSetTest, AdoptsPodsOfItsNames) {
  world_.Create<Pod>(
      "{apiVersion: v1, kind: Pod, metadata: {name: web-0, labels: {app: web}}, spec: "
      "{containers: [{name: c, image: i}]}}");
  world_.Create<Pod>(
      "{apiVersion: v1, kind: Pod, metadata: {name: other, labels: {app: web}}, spec: "
      "{containers: [{name: c, image: i}]}}");
  Make("replicas: 1, updateStrategy: {type: OnDelete}");
  world_.RunPods();
  EXPECT_EQ(world_.Get<Pod>("web-0").metadata().owner_references(0).name(), "web");
  EXPECT_THAT(world_.Get<Pod>("other").metadata().owner_references(), IsEmpty());
  EXPECT_EQ(world_.Get<Pod>("web-0").metadata().labels().at(statefulsets::kPodNameLabel), "web-0");
}

TEST_F(StatefulSetTest, KeepsAsManyRevisionsAsAskedFor) {
  Make("replicas: 1, revisionHistoryLimit: 2");
  for (const char* image : {"i:2", "i:3", "i:4", "i:5"}) {
    SetImage(image);
    RunAll();
  }
  EXPECT_THAT(world_.List<ControllerRevision>(), SizeIs(3));
}

TEST_F(StatefulSetTest, ANameOfARevisionThatIsTakenIsAnAccident) {
  Make("replicas: 1");
  RunAll();
  // The name that the next revision will want.
  SetImage("i:2");
  RunAll();
  const std::string taken = Get().status().update_revision();
  SetImage("i:1");
  RunAll();
  world_.Delete<ControllerRevision>(taken);
  world_.Create<ControllerRevision>(
      absl::StrCat("{apiVersion: apps/v1, kind: ControllerRevision, metadata: {name: ", taken,
                   "}, revision: 7, data: {spec: {}}}"));
  SetImage("i:2");
  RunAll();
  EXPECT_EQ(Images(), "2");
  EXPECT_EQ(Get().status().collision_count(), 1);
  EXPECT_NE(Get().status().update_revision(), taken);
}

// One at a time, in order, whatever is lost: checked on the watch history.
TEST(StatefulSetChaos, NeverGoesAheadOfItself) {
  for (int nth = 1; nth <= 12; ++nth) {
    for (const bool crash : {false, true}) {
      World world(static_cast<uint64_t>(nth));
      world.Run(New(world.context()));
      world.Create<StatefulSet>(SetText("replicas: 3"));
      const auto run = [&] {
        world.RunPods();
        world.ReapPods();
        world.Advance(seconds(2));
      };
      for (int i = 0; i < 4; ++i) run();
      int writes = 0;
      bool down = false;
      world.process().SetFate([&](const kube::ApiCall& call) {
        if (call.method == "GET") return apiserver::Fate::kPass;
        if (down) return apiserver::Fate::kLoseCall;
        if (++writes != nth) return apiserver::Fate::kPass;
        down = crash;
        return nth % 2 == 0 ? apiserver::Fate::kLoseAnswer : apiserver::Fate::kLoseCall;
      });
      const size_t before = world.Writes();
      world.Patch<StatefulSet>(
          "web", "{spec: {template: {spec: {containers: [{name: c, image: 'i:2'}]}}}}");
      for (int i = 0; i < 14; ++i) {
        run();
        if (!down) continue;
        down = false;
        world.Restart(New);
      }
      const StatefulSet set = world.Get<StatefulSet>("web");
      EXPECT_EQ(set.status().updated_replicas(), 3) << nth;
      EXPECT_EQ(set.status().current_revision(), set.status().update_revision()) << nth;
      std::set<std::string> missing;
      for (size_t i = before; i < world.api().history().size(); ++i) {
        const apiserver::HistoryEntry& entry = world.api().history()[i];
        if (entry.resource != "pods") continue;
        if (entry.type == "DELETED") missing.insert(entry.name);
        if (entry.type == "ADDED") missing.erase(entry.name);
        EXPECT_LE(missing.size(), 1u) << nth;
      }
    }
  }
}

}  // namespace
}  // namespace meltemi::controllers
