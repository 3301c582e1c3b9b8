// Stories of pods with claims: the scheduler beside the volume controller.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "kube/core/v1/claim.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/persistent_volume.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/storage/v1/storage.pb.h"
#include "orchestrator/controllers/volumes/volumes.h"
#include "orchestrator/scheduler/testing/world.h"

namespace meltemi::scheduler {
namespace {

using kube::core::v1::PersistentVolume;
using kube::core::v1::PersistentVolumeClaim;
using kube::storage::v1::StorageClass;
using testing::HasSubstr;
using testing::StartsWith;
using CorePod = kube::core::v1::Pod;

class VolumesTest : public testing::Test {
 protected:
  void Class(const std::string& name, const std::string& mode = "WaitForFirstConsumer",
             const std::string& provisioner = "meltemi.dev/local-path",
             const std::string& more = "") {
    w().Create<StorageClass>(absl::StrCat("{metadata: {name: ", name, "}, provisioner: ",
                                          provisioner, ", volumeBindingMode: ", mode, more, "}"));
  }
  void Claim(const std::string& name, const std::string& of, const std::string& size = "1Gi",
             const std::string& mode = "ReadWriteOnce") {
    w().Create<PersistentVolumeClaim>(absl::StrCat(
        "{metadata: {name: ", name, "}, spec: {accessModes: [", mode, "], storageClassName: '", of,
        "', resources: {requests: {storage: ", size, "}}}}"));
    world_.Settle();
  }
  // On one node.
  void Volume(const std::string& name, const std::string& of, const std::string& node,
              const std::string& size = "1Gi", const std::string& mode = "ReadWriteOnce") {
    w().Create<PersistentVolume>(absl::StrCat(
        "{metadata: {name: ", name, "}, spec: {capacity: {storage: ", size, "}, accessModes: [",
        mode, "], storageClassName: '", of, "', local: {path: /mnt/", name,
        "}, nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: "
        "kubernetes.io/hostname, operator: In, values: [",
        node, "]}]}]}}}}"));
    world_.Settle();
  }
  void Pod(const std::string& name, const std::string& claim, const std::string& more = "") {
    world_.Pod(name, "",
               absl::StrCat("volumes: [{name: v, persistentVolumeClaim: {claimName: ", claim, "}}]",
                            more));
    world_.Settle();
  }
  // In a process of its own, as beside a real scheduler.
  void RunController() {
    controller_.informers = kube::NewInformers(w().user(), w().executor());
    controller_.context.reset(new controllers::Context{.client = w().user(),
                                                       .informers = *controller_.informers,
                                                       .executor = w().executor(),
                                                       .recorder = w().context().recorder,
                                                       .random = w().random()});
    controller_.running.push_back(controllers::NewVolumeBinder(*controller_.context));
    controller_.running.push_back(controllers::NewEphemeralVolumes(*controller_.context));
    controller_.informers->Start();
    world_.Settle();
    for (auto& one : controller_.running) one->Start();
    world_.Settle();
  }
  std::string VolumeOf(const std::string& claim) {
    const auto found = w().Get<PersistentVolumeClaim>(claim);
    return found.status().phase() == "Bound" ? found.spec().volume_name() : "";
  }
  std::string SelectedNode(const std::string& claim) {
    const auto found = w().Get<PersistentVolumeClaim>(claim);
    const auto at = found.metadata().annotations().find("volume.kubernetes.io/selected-node");
    return at == found.metadata().annotations().end() ? "" : at->second;
  }
  controllers::World& w() { return world_.world(); }

  SchedulerWorld world_;
  struct Controller {
    ~Controller() {
      if (informers != nullptr) informers->Stop();
      running.clear();
    }
    std::unique_ptr<kube::Informers> informers;
    std::unique_ptr<controllers::Context> context;
    std::vector<std::unique_ptr<controllers::Running>> running;
  };
  Controller controller_;
};

TEST_F(VolumesTest, AClaimThatWaitsIsMadeWhereItsPodGoes) {
  Class("local");
  world_.Node("a");
  world_.Run();
  RunController();
  Claim("data", "local");
  Pod("db", "data");
  world_.Settle();
  EXPECT_EQ(world_.Where(), "db=a");
  EXPECT_EQ(SelectedNode("data"), "a");
  EXPECT_THAT(VolumeOf("data"), StartsWith("pvc-"));
  EXPECT_EQ(world_.pending(), 0u);
  // A second pod goes to the same node, however full it is.
  world_.Node("b");
  world_.Pod("filler", "cpu: 3", "nodeName: a");
  Pod("second", "data");
  EXPECT_EQ(world_.Where(), "db=a filler=a second=a");
}

TEST_F(VolumesTest, OthersAreNotKeptWaitingByAPodWhoseVolumeIsBeingMade) {
  Class("slow", "WaitForFirstConsumer", "example.com/slow");
  world_.Node("a");
  world_.Run();
  Claim("data", "slow");
  Pod("db", "data");
  world_.Pod("other");
  world_.Settle();
  EXPECT_EQ(world_.Where(), "db= other=a");
  EXPECT_EQ(SelectedNode("data"), "a");
  EXPECT_EQ(world_.pending(), 1u);
  // The provisioner is done.
  Volume("made", "slow", "a");
  w().Patch<PersistentVolumeClaim>("data",
                                   "{spec: {volumeName: made}, metadata: {annotations: "
                                   "{pv.kubernetes.io/bind-completed: 'yes'}}}");
  world_.Settle();
  EXPECT_EQ(world_.Where(), "db=a other=a");
}

TEST_F(VolumesTest, AProvisionerThatRejectsTheNodeMakesTheSchedulerChooseAgain) {
  Class("slow", "WaitForFirstConsumer", "example.com/slow");
  world_.Node("a");
  world_.Run();
  Claim("data", "slow");
  Pod("db", "data");
  ASSERT_EQ(SelectedNode("data"), "a");
  world_.Node("b");
  w().Patch<kube::core::v1::Node>("a", "{spec: {unschedulable: true}}");
  w().Patch<PersistentVolumeClaim>(
      "data", "{metadata: {annotations: {volume.kubernetes.io/selected-node: null}}}");
  world_.Settle();
  EXPECT_THAT(world_.Condition("db"),
              HasSubstr("SchedulerError: running PreBind plugin \"VolumeBinding\": binding "
                        "volumes: provisioning failed for PVC \"data\""));
  world_.Advance(seconds(5));
  EXPECT_EQ(SelectedNode("data"), "b");
}

TEST_F(VolumesTest, WhatIsNotMadeInTimeIsTriedAgain) {
  Class("slow", "WaitForFirstConsumer", "example.com/slow");
  world_.Node("a");
  world_.Run();
  Claim("data", "slow");
  Pod("db", "data");
  world_.Advance(minutes(10) + seconds(10));
  EXPECT_THAT(world_.Condition("db"), HasSubstr("context deadline exceeded"));
}

TEST_F(VolumesTest, APodThatIsDeletedWhileItWaitsLetsItsClaimGo) {
  Class("slow", "WaitForFirstConsumer", "example.com/slow");
  world_.Node("a");
  world_.Run();
  Claim("data", "slow");
  Pod("db", "data");
  w().Delete<CorePod>("db");
  world_.Advance(seconds(10));
  EXPECT_EQ(world_.pending(), 0u);
}

TEST_F(VolumesTest, ClaimsThatAreNotThereOrNotBoundAreNamed) {
  Class("now", "Immediate", "example.com/disk");
  world_.Node("a");
  world_.Run();
  Pod("db", "data");
  EXPECT_EQ(world_.Condition("db"),
            "Unschedulable: 0/1 nodes are available: persistentvolumeclaim \"data\" not found. "
            "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.");
  Claim("data", "now");
  world_.Advance(seconds(5));
  EXPECT_EQ(world_.Condition("db"),
            "Unschedulable: 0/1 nodes are available: pod has unbound immediate "
            "PersistentVolumeClaims. preemption: 0/1 nodes are available: 1 Preemption is not "
            "helpful for scheduling.");
  RunController();
  Volume("pv", "now", "a");
  world_.Advance(seconds(15));
  EXPECT_EQ(world_.Where(), "db=a");
}

TEST_F(VolumesTest, APodGoesWhereItsVolumeIs) {
  world_.Node("a");
  world_.Node("b");
  world_.Run();
  RunController();
  Volume("pv", "", "b");
  Claim("data", "");
  for (const char* pod : {"p1", "p2", "p3"}) Pod(pod, "data");
  EXPECT_EQ(world_.Where(), "p1=b p2=b p3=b");
  Pod("wrong", "data", ", nodeSelector: {kubernetes.io/hostname: a}");
  EXPECT_THAT(world_.Condition("wrong"),
              HasSubstr("1 node(s) didn't match Pod's node affinity/selector, 1 node(s) had volume "
                        "node affinity conflict"));
}

TEST_F(VolumesTest, VolumesOfAClassWithoutProvisionerAreMatchedByNode) {
  Class("disks", "WaitForFirstConsumer", "kubernetes.io/no-provisioner");
  world_.Node("a");
  world_.Node("b");
  world_.Run();
  RunController();
  Volume("small", "disks", "a", "1Gi");
  Volume("large", "disks", "b", "10Gi");
  Claim("wants-large", "disks", "5Gi");
  Claim("wants-small", "disks", "1Gi");
  Pod("p1", "wants-large");
  Pod("p2", "wants-small");
  world_.Settle();
  EXPECT_EQ(world_.Where(), "p1=b p2=a");
  EXPECT_EQ(VolumeOf("wants-large"), "large");
  EXPECT_EQ(VolumeOf("wants-small"), "small");
  Claim("one-too-many", "disks");
  Pod("p3", "one-too-many");
  EXPECT_THAT(world_.Condition("p3"),
              HasSubstr("2 node(s) didn't find available persistent volumes to bind"));
  Volume("more", "disks", "a");
  world_.Advance(seconds(5));
  EXPECT_EQ(world_.Where(), "p1=b p2=a p3=a");
}

TEST_F(VolumesTest, TwoPodsAtOnceAreNotPromisedTheSameVolume) {
  Class("disks", "WaitForFirstConsumer", "kubernetes.io/no-provisioner");
  world_.Node("a");
  world_.Run();
  RunController();
  Volume("d1", "disks", "a");
  Volume("d2", "disks", "a");
  for (const char* claim : {"c1", "c2"}) Claim(claim, "disks");
  for (const char* name : {"1", "2"}) {
    world_.Pod(
        absl::StrCat("p", name), "",
        absl::StrCat("volumes: [{name: v, persistentVolumeClaim: {claimName: c", name, "}}]"));
  }
  world_.Settle();
  EXPECT_EQ(world_.Where(), "p1=a p2=a");
  EXPECT_NE(VolumeOf("c1"), VolumeOf("c2"));
}

TEST_F(VolumesTest, AClaimForOnePodAloneIsUsedByOneAtATime) {
  world_.Node("a");
  world_.Run();
  RunController();
  Volume("pv", "", "a", "1Gi", "ReadWriteOncePod");
  Claim("data", "", "1Gi", "ReadWriteOncePod");
  Pod("first", "data");
  Pod("second", "data");
  EXPECT_EQ(world_.Where(), "first=a second=");
  EXPECT_THAT(world_.Condition("second"),
              HasSubstr("1 node has pod using PersistentVolumeClaim with the same name and "
                        "ReadWriteOncePod access mode"));
  w().Delete<CorePod>("first");
  world_.Advance(seconds(5));
  EXPECT_EQ(world_.Where(), "second=a");
}

TEST_F(VolumesTest, AVolumesZoneIsItsPodsZone) {
  world_.Node("a", "", "topology.kubernetes.io/zone: z1");
  world_.Node("b", "", "topology.kubernetes.io/zone: z2");
  world_.Run();
  RunController();
  w().Create<PersistentVolume>(
      "{metadata: {name: pv, labels: {topology.kubernetes.io/zone: z2__z3}}, spec: {capacity: "
      "{storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /mnt}}}");
  Claim("data", "");
  Pod("p", "data");
  EXPECT_EQ(world_.Where(), "p=b");
  Pod("wrong", "data", ", nodeSelector: {kubernetes.io/hostname: a}");
  EXPECT_THAT(world_.Condition("wrong"), HasSubstr("1 node(s) had no available volume zone"));
}

TEST_F(VolumesTest, TopologiesThatAClassAllows) {
  Class("local", "WaitForFirstConsumer", "meltemi.dev/local-path",
        ", allowedTopologies: [{matchLabelExpressions: [{key: disk, values: [ssd]}]}]");
  world_.Node("a");
  world_.Node("b", "", "disk: ssd");
  world_.Run();
  RunController();
  Claim("data", "local");
  Pod("p", "data");
  world_.Settle();
  EXPECT_EQ(world_.Where(), "p=b");
}

TEST_F(VolumesTest, ASchedulerThatIsKilledWhileAVolumeIsMadeGoesOn) {
  Class("slow", "WaitForFirstConsumer", "example.com/slow");
  world_.Node("a");
  world_.Run();
  Claim("data", "slow");
  Pod("db", "data");
  ASSERT_EQ(SelectedNode("data"), "a");
  world_.Node("b");
  world_.Restart();
  Volume("made", "slow", "a");
  w().Patch<PersistentVolumeClaim>("data",
                                   "{spec: {volumeName: made}, metadata: {annotations: "
                                   "{pv.kubernetes.io/bind-completed: 'yes'}}}");
  world_.Advance(seconds(10));
  EXPECT_EQ(world_.Where(), "db=a");
}

TEST_F(VolumesTest, AnEphemeralVolumesClaimIsWaitedFor) {
  Class("local");
  world_.Node("a");
  world_.Run();
  world_.Pod("web", "",
             "volumes: [{name: v, ephemeral: {volumeClaimTemplate: {spec: {accessModes: "
             "[ReadWriteOnce], storageClassName: local, resources: {requests: {storage: "
             "1Gi}}}}}}]");
  world_.Settle();
  EXPECT_THAT(world_.Condition("web"),
              HasSubstr("waiting for ephemeral volume controller to create the "
                        "persistentvolumeclaim \"web-v\""));
  RunController();
  world_.Advance(seconds(15));
  EXPECT_EQ(world_.Where(), "web=a");
}

}  // namespace
}  // namespace meltemi::scheduler
