#include "orchestrator/controllers/volumes/volumes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "kube/core/v1/claim.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/persistent_volume.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/storage/v1/storage.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using apiserver::Fate;
using kube::core::v1::Node;
using kube::core::v1::PersistentVolume;
using kube::core::v1::PersistentVolumeClaim;
using kube::core::v1::Pod;
using kube::storage::v1::StorageClass;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// All controllers of volumes together.
class All final : public Running {
 public:
  explicit All(Context& context) {
    parts_.push_back(NewVolumeBinder(context));
    parts_.push_back(NewClaimProtection(context));
    parts_.push_back(NewVolumeProtection(context));
    parts_.push_back(NewEphemeralVolumes(context));
  }
  void Start() override {
    for (auto& part : parts_) part->Start();
  }

 private:
  std::vector<std::unique_ptr<Running>> parts_;
};

class VolumesTest : public testing::Test {
 protected:
  VolumesTest() { world_.Run(std::make_unique<All>(world_.context())); }

  void AddClass(const std::string& name, const std::string& mode, const std::string& more = "") {
    world_.Create<StorageClass>(absl::StrCat(
        "{metadata: {name: ", name,
        "}, provisioner: meltemi.dev/local-path, volumeBindingMode: ", mode, more, "}"));
    world_.Settle();
  }
  void AddClaim(const std::string& name, const std::string& more = "storageClassName: ''",
                const std::string& size = "1Gi", const std::string& mode = "ReadWriteOnce") {
    world_.Create<PersistentVolumeClaim>(
        absl::StrCat("{metadata: {name: ", name, "}, spec: {accessModes: [", mode,
                     "], resources: {requests: {storage: ", size, "}}, ", more, "}}"));
    world_.Settle();
  }
  void AddVolume(const std::string& name, const std::string& size, const std::string& more = "",
                 const std::string& labels = "{}") {
    world_.Create<PersistentVolume>(absl::StrCat(
        "{metadata: {name: ", name, ", labels: ", labels,
        "}, spec: {capacity: "
        "{storage: ",
        size, "}, accessModes: [ReadWriteOnce], hostPath: {path: /mnt/", name, "}", more, "}}"));
    world_.Settle();
  }
  std::string AddPod(const std::string& name, const std::string& claim) {
    world_.Create<Pod>(absl::StrCat("{metadata: {name: ", name,
                                    "}, spec: {containers: [{name: c, image: i}], volumes: [{name: "
                                    "v, persistentVolumeClaim: {claimName: ",
                                    claim, "}}]}}"));
    world_.Settle();
    return name;
  }
  // "Bound to pv1" or the phase.
  std::string State(const std::string& claim) {
    const auto found = world_.Get<PersistentVolumeClaim>(claim);
    if (found.status().phase() != "Bound") return found.status().phase();
    return absl::StrCat("Bound to ", found.spec().volume_name());
  }
  std::string Phase(const std::string& volume) {
    return world_.Get<PersistentVolume>(volume).status().phase();
  }
  void Select(const std::string& claim, const std::string& node) {
    world_.Patch<PersistentVolumeClaim>(
        claim, absl::StrCat("{metadata: {annotations: {volume.kubernetes.io/selected-node: ", node,
                            "}}}"));
    world_.Settle();
  }

  World world_;
};

// ---- static binding ----

TEST_F(VolumesTest, AClaimGetsTheSmallestVolumeThatIsLargeEnough) {
  AddVolume("small", "1Gi");
  AddVolume("large", "10Gi");
  AddVolume("middle", "5Gi");
  EXPECT_EQ(Phase("small"), "Available");
  AddClaim("data", "storageClassName: ''", "2Gi");
  EXPECT_EQ(State("data"), "Bound to middle");
  EXPECT_EQ(Phase("middle"), "Bound");
  EXPECT_EQ(Phase("large"), "Available");
  const auto claim = world_.Get<PersistentVolumeClaim>("data");
  EXPECT_EQ(claim.status().capacity().at("storage").string(), "5Gi");
  EXPECT_THAT(claim.status().access_modes(), ElementsAre("ReadWriteOnce"));
  EXPECT_EQ(claim.metadata().annotations().at("pv.kubernetes.io/bind-completed"), "yes");
  EXPECT_EQ(claim.metadata().annotations().at("pv.kubernetes.io/bound-by-controller"), "yes");
  const auto volume = world_.Get<PersistentVolume>("middle");
  EXPECT_EQ(volume.spec().claim_ref().uid(), claim.metadata().uid());
  EXPECT_EQ(volume.spec().claim_ref().kind(), "PersistentVolumeClaim");
}

TEST_F(VolumesTest, ClassAccessModeSelectorAndVolumeModeMustFit) {
  AddVolume("other-class", "1Gi", ", storageClassName: slow");
  AddVolume("gold", "1Gi", "", "{tier: gold}");
  AddVolume("block", "1Gi", ", volumeMode: Block");
  AddClaim("wants-many", "storageClassName: ''", "1Gi", "ReadWriteMany");
  AddClaim("wants-silver", "storageClassName: '', selector: {matchLabels: {tier: silver}}");
  EXPECT_EQ(State("wants-many"), "Pending");
  EXPECT_EQ(State("wants-silver"), "Pending");
  EXPECT_THAT(world_.Events(),
              Contains("Normal FailedBinding no persistent volumes available for this claim and no "
                       "storage class is set"));
  AddClaim("wants-gold", "storageClassName: '', selector: {matchLabels: {tier: gold}}");
  EXPECT_EQ(State("wants-gold"), "Bound to gold");
  AddClaim("wants-slow", "storageClassName: slow");
  EXPECT_EQ(State("wants-slow"), "Bound to other-class");
  AddClaim("wants-block", "storageClassName: '', volumeMode: Block");
  EXPECT_EQ(State("wants-block"), "Bound to block");
}

TEST_F(VolumesTest, AClaimThatWaitsGetsAVolumeThatComesLater) {
  AddClaim("data");
  EXPECT_EQ(State("data"), "Pending");
  AddVolume("late", "1Gi");
  EXPECT_EQ(State("data"), "Bound to late");
}

TEST_F(VolumesTest, AVolumeThatIsAskedForByName) {
  AddVolume("small", "1Gi");
  AddVolume("large", "10Gi");
  AddClaim("a", "storageClassName: '', volumeName: large");
  EXPECT_EQ(State("a"), "Bound to large");
  AddClaim("b", "storageClassName: '', volumeName: small", "5Gi");
  EXPECT_EQ(State("b"), "Pending");
  EXPECT_THAT(
      world_.Events(),
      Contains("Warning VolumeMismatch Cannot bind to requested volume \"small\": requested "
               "PV is too small"));
  AddClaim("c", "storageClassName: '', volumeName: large");
  EXPECT_THAT(
      world_.Events(),
      Contains("Warning FailedBinding volume \"large\" already bound to a different claim."));
}

TEST_F(VolumesTest, AVolumeThatIsKeptForAClaimGoesToNoOther) {
  AddVolume("kept", "1Gi", ", claimRef: {namespace: default, name: mine}");
  EXPECT_EQ(Phase("kept"), "Available");
  AddClaim("yours");
  EXPECT_EQ(State("yours"), "Pending");
  AddClaim("mine");
  EXPECT_EQ(State("mine"), "Bound to kept");
  EXPECT_EQ(world_.Get<PersistentVolume>("kept").metadata().annotations().count(
                "pv.kubernetes.io/bound-by-controller"),
            0u);
}

TEST_F(VolumesTest, ManyClaimsAtOnceGetAVolumeEach) {
  for (int i = 0; i < 10; ++i) AddVolume(absl::StrCat("pv-", i), "1Gi");
  for (int i = 0; i < 10; ++i) {
    world_.Create<PersistentVolumeClaim>(absl::StrCat(
        "{metadata: {name: c-", i,
        "}, spec: {accessModes: [ReadWriteOnce], storageClassName: '', resources: {requests: "
        "{storage: 1Gi}}}}"));
  }
  world_.Advance(seconds(30));
  std::set<std::string> volumes;
  for (int i = 0; i < 10; ++i) {
    const auto claim = world_.Get<PersistentVolumeClaim>(absl::StrCat("c-", i));
    EXPECT_EQ(claim.status().phase(), "Bound");
    volumes.insert(claim.spec().volume_name());
  }
  EXPECT_EQ(volumes.size(), 10u);
}

// ---- the end of claims and volumes ----

TEST_F(VolumesTest, ARetainedVolumeStaysReleased) {
  AddVolume("pv", "1Gi");
  AddClaim("data");
  world_.Delete<PersistentVolumeClaim>("data");
  world_.Settle();
  EXPECT_FALSE(world_.Find<PersistentVolumeClaim>("data").has_value());
  EXPECT_EQ(Phase("pv"), "Released");
  // Another claim of that name does not get it.
  AddClaim("data");
  EXPECT_EQ(State("data"), "Pending");
  // Somebody has looked after what was in it.
  world_.Patch<PersistentVolume>("pv", "{spec: {claimRef: null}}");
  world_.Settle();
  EXPECT_EQ(State("data"), "Bound to pv");
}

TEST_F(VolumesTest, AVolumeThatNobodyCanDeleteFails) {
  AddVolume("pv", "1Gi", ", persistentVolumeReclaimPolicy: Delete");
  AddClaim("data");
  world_.Delete<PersistentVolumeClaim>("data");
  world_.Settle();
  EXPECT_EQ(Phase("pv"), "Failed");
  EXPECT_THAT(world_.Events(),
              Contains("Warning VolumeFailedDelete error getting deleter volume plugin for volume "
                       "\"pv\": no deletable volume plugin matched"));
}

TEST_F(VolumesTest, AClaimWhoseVolumeIsGoneIsLost) {
  AddVolume("pv", "1Gi");
  AddClaim("data");
  world_.Patch<PersistentVolume>("pv", "{metadata: {finalizers: null}}");
  world_.Delete<PersistentVolume>("pv");
  world_.Settle();
  EXPECT_EQ(State("data"), "Lost");
  EXPECT_THAT(world_.Events(), Contains("Warning ClaimLost Bound claim has lost its "
                                        "PersistentVolume. Data on the volume is lost!"));
}

TEST_F(VolumesTest, WhatIsInUseIsProtected) {
  AddVolume("pv", "1Gi");
  AddClaim("data");
  AddPod("db", "data");
  world_.RunPods();
  world_.Delete<PersistentVolume>("pv");
  world_.Delete<PersistentVolumeClaim>("data");
  world_.Settle();
  EXPECT_TRUE(world_.Get<PersistentVolumeClaim>("data").metadata().has_deletion_timestamp());
  EXPECT_EQ(State("data"), "Bound to pv");
  world_.Delete<Pod>("db");
  world_.ReapPods();
  EXPECT_FALSE(world_.Find<PersistentVolumeClaim>("data").has_value());
  EXPECT_FALSE(world_.Find<PersistentVolume>("pv", "").has_value());
}

TEST_F(VolumesTest, AClaimOfAPodWithoutANodeIsNotInUse) {
  AddVolume("pv", "1Gi");
  AddClaim("data");
  AddPod("db", "data");
  world_.Delete<PersistentVolumeClaim>("data");
  world_.Settle();
  EXPECT_FALSE(world_.Find<PersistentVolumeClaim>("data").has_value());
}

// ---- provisioning ----

TEST_F(VolumesTest, AClaimThatWaitsForAPodIsProvisionedOnItsNode) {
  world_.AddNode("node-1", "{kubernetes.io/hostname: host-1}");
  AddClass("local-path", "WaitForFirstConsumer");
  AddClaim("data", "storageClassName: local-path");
  EXPECT_EQ(State("data"), "Pending");
  EXPECT_THAT(world_.Events(), ElementsAre("Normal WaitForFirstConsumer waiting for first consumer "
                                           "to be created before binding"));
  AddPod("db", "data");
  world_.Advance(seconds(20));
  EXPECT_THAT(world_.Events(),
              Contains("Normal WaitForPodScheduled waiting for pod db to be scheduled"));
  Select("data", "node-1");
  const auto claim = world_.Get<PersistentVolumeClaim>("data");
  const std::string name = absl::StrCat("pvc-", claim.metadata().uid());
  EXPECT_EQ(State("data"), absl::StrCat("Bound to ", name));
  EXPECT_THAT(world_.Events(),
              Contains(absl::StrCat("Normal ProvisioningSucceeded Successfully provisioned volume ",
                                    name, " using meltemi.dev/local-path")));
  const auto volume = world_.Get<PersistentVolume>(name);
  EXPECT_EQ(volume.spec().persistent_volume_source().local().path(),
            absl::StrCat("/var/lib/meltemi/nodes/node-1/volumes/", name));
  const auto& term = volume.spec().node_affinity().required().node_selector_terms(0);
  EXPECT_EQ(term.match_expressions(0).key(), "kubernetes.io/hostname");
  EXPECT_THAT(term.match_expressions(0).values(), ElementsAre("host-1"));
  EXPECT_EQ(volume.spec().persistent_volume_reclaim_policy(), "Delete");
  EXPECT_EQ(volume.spec().storage_class_name(), "local-path");
  EXPECT_EQ(volume.status().phase(), "Bound");

  world_.Delete<Pod>("db");
  world_.ReapPods();
  world_.Delete<PersistentVolumeClaim>("data");
  world_.Settle();
  EXPECT_THAT(world_.List<PersistentVolume>(), IsEmpty());
}

TEST_F(VolumesTest, ANodeSaysWhereItsVolumesGo) {
  world_.AddNode("node-1");
  world_.Patch<Node>("node-1",
                     "{metadata: {annotations: {meltemi.dev/local-volumes: /data/volumes}}}");
  AddClass("now", "Immediate", ", reclaimPolicy: Retain");
  AddClaim("data", "storageClassName: now");
  const auto volumes = world_.List<PersistentVolume>();
  ASSERT_EQ(volumes.size(), 1u);
  EXPECT_THAT(volumes[0].spec().persistent_volume_source().local().path(),
              testing::StartsWith("/data/volumes/pvc-"));
  EXPECT_EQ(volumes[0].spec().persistent_volume_reclaim_policy(), "Retain");
}

TEST_F(VolumesTest, ClaimsThatDoNotWaitAreSpreadOverReadyNodes) {
  AddClass("now", "Immediate");
  AddClaim("early", "storageClassName: now");
  EXPECT_EQ(State("early"), "Pending");
  EXPECT_THAT(world_.Events(), Contains(HasSubstr("no node is ready to hold the volume")));
  for (const char* node : {"node-1", "node-2"}) world_.AddNode(node);
  world_.AddNode("closed");
  world_.Patch<Node>("closed", "{spec: {unschedulable: true}}");
  world_.Advance(minutes(1));
  for (const char* claim : {"a", "b", "c"}) AddClaim(claim, "storageClassName: now");
  std::map<std::string, int> on;
  for (const auto& volume : world_.List<PersistentVolume>()) {
    ++on[volume.spec().node_affinity().required().node_selector_terms(0).match_fields(0).values(0)];
  }
  EXPECT_EQ(on["node-1"], 2);
  EXPECT_EQ(on["node-2"], 2);
}

TEST_F(VolumesTest, WhatCannotBeProvisionedSaysWhy) {
  world_.AddNode("node-1");
  AddClass("now", "Immediate");
  AddClaim("shared", "storageClassName: now", "1Gi", "ReadWriteMany");
  EXPECT_THAT(world_.Events(),
              Contains(HasSubstr("ProvisioningFailed Failed to provision volume with StorageClass "
                                 "\"now\": access mode ReadWriteMany is not supported")));
  AddClaim("unknown", "storageClassName: none");
  EXPECT_THAT(
      world_.Events(),
      Contains("Warning ProvisioningFailed storageclass.storage.k8s.io \"none\" not found"));
  world_.Create<StorageClass>("{metadata: {name: csi}, provisioner: example.com/disk}");
  AddClaim("outside", "storageClassName: csi");
  EXPECT_THAT(
      world_.Events(),
      Contains(HasSubstr("ExternalProvisioning Waiting for a volume to be created either by "
                         "the external provisioner 'example.com/disk' or manually")));
  EXPECT_EQ(world_.Get<PersistentVolumeClaim>("outside").metadata().annotations().at(
                "volume.kubernetes.io/storage-provisioner"),
            "example.com/disk");
  const size_t writes = world_.Writes();
  world_.Advance(minutes(10));
  EXPECT_EQ(world_.Writes(), writes) << "waiting writes nothing";
}

TEST_F(VolumesTest, ANodeThatIsGoneIsChosenAgain) {
  AddClass("local-path", "WaitForFirstConsumer");
  AddClaim("data", "storageClassName: local-path");
  Select("data", "gone");
  EXPECT_EQ(world_.Get<PersistentVolumeClaim>("data").metadata().annotations().count(
                "volume.kubernetes.io/selected-node"),
            0u);
}

TEST_F(VolumesTest, ADefaultClassThatComesLaterIsGivenToClaimsWithoutAny) {
  world_.AddNode("node-1");
  world_.Create<PersistentVolumeClaim>(
      "{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: "
      "{storage: 1Gi}}}}");
  world_.Settle();
  world_.Create<StorageClass>(
      "{metadata: {name: now, annotations: {storageclass.kubernetes.io/is-default-class: 'true'}}, "
      "provisioner: meltemi.dev/local-path, volumeBindingMode: Immediate}");
  world_.Settle();
  EXPECT_EQ(world_.Get<PersistentVolumeClaim>("data").spec().storage_class_name(), "now");
  EXPECT_THAT(State("data"), HasSubstr("Bound to pvc-"));
}

TEST_F(VolumesTest, KilledAtAnyWriteItGoesOnWhereItWas) {
  world_.AddNode("node-1");
  AddClass("local-path", "WaitForFirstConsumer");
  for (int kill_at = 1; kill_at < 8; ++kill_at) {
    const std::string name = absl::StrCat("data-", kill_at);
    AddClaim(name, "storageClassName: local-path");
    int writes = 0;
    bool dead = false;
    world_.process().SetFate([&](const kube::ApiCall& call) {
      if (dead) return Fate::kLoseCall;
      if (call.method == "GET" || ++writes < kill_at) return Fate::kPass;
      dead = true;
      return Fate::kLoseAnswer;
    });
    Select(name, "node-1");
    world_.Restart([](Context& context) { return std::make_unique<All>(context); });
    world_.Advance(seconds(30));
    EXPECT_THAT(State(name), HasSubstr("Bound to pvc-")) << "killed at write " << kill_at;
  }
  EXPECT_EQ(world_.List<PersistentVolume>().size(), 7u) << "none is made twice";
}

TEST_F(VolumesTest, EphemeralVolumesGetAClaimThatTheirPodOwns) {
  world_.AddNode("node-1");
  AddClass("local-path", "WaitForFirstConsumer");
  const Pod pod = world_.Create<Pod>(
      "{metadata: {name: web}, spec: {containers: [{name: c, image: i}], volumes: [{name: scratch, "
      "ephemeral: {volumeClaimTemplate: {metadata: {labels: {a: b}}, spec: {accessModes: "
      "[ReadWriteOnce], storageClassName: local-path, resources: {requests: {storage: "
      "1Gi}}}}}}]}}");
  world_.Settle();
  const auto claim = world_.Get<PersistentVolumeClaim>("web-scratch");
  EXPECT_EQ(claim.metadata().owner_references(0).uid(), pod.metadata().uid());
  EXPECT_EQ(claim.metadata().labels().at("a"), "b");
  // A claim of that name that is somebody else's is not used.
  AddClaim("other-scratch");
  world_.Create<Pod>(
      "{metadata: {name: other}, spec: {containers: [{name: c, image: i}], volumes: [{name: "
      "scratch, "
      "ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: "
      "{requests: {storage: 1Gi}}}}}}]}}");
  world_.Settle();
  EXPECT_THAT(world_.Events(), Contains(HasSubstr("was not created for pod default/other (pod is "
                                                  "not owner)")));
}

}  // namespace
}  // namespace meltemi::controllers
