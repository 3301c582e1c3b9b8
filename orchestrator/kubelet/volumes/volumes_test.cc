#include "orchestrator/kubelet/volumes/volumes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/time.h"
#include "kube/core/v1/claim.pb.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/persistent_volume.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"
#include "orchestrator/kubelet/volumes/files.h"
#include "orchestrator/kubelet/volumes/mounter_fake.h"

namespace meltemi::kubelet {
namespace {

using controllers::World;
using kube::core::v1::ConfigMap;
using kube::core::v1::Node;
using kube::core::v1::PersistentVolume;
using kube::core::v1::PersistentVolumeClaim;
using kube::core::v1::Pod;
using kube::core::v1::Secret;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

// The API server in memory has no keys: tokens are made here, numbered.
class TokenClient final : public kube::Client {
 public:
  TokenClient(kube::Client& client, const Clock& clock) : client_(client), clock_(clock) {}
  kube::Result<kube::ApiAnswer> Call(const kube::ApiCall& call) override {
    ++calls;
    if (down) return kube::Status{.code = 0, .message = "connection refused"};
    if (call.method != "POST" || !absl::EndsWith(call.path, "/token")) return client_.Call(call);
    requests.push_back(call.body);
    const auto expires = absl::FromChrono(clock_.WallNow()) + absl::Seconds(3600);
    return kube::ApiAnswer{
        201, absl::StrCat(
                 R"({"status":{"token":"token-)", requests.size(), R"(","expirationTimestamp":")",
                 absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", expires, absl::UTCTimeZone()), R"("}})")};
  }
  std::unique_ptr<kube::ApiWatch> Watch(const kube::ApiCall& call, kube::WatchSink& sink) override {
    return client_.Watch(call, sink);
  }

  bool down = false;
  int calls = 0;
  std::vector<std::string> requests;  // for tokens

 private:
  kube::Client& client_;
  const Clock& clock_;
};

class VolumesTest : public testing::Test {
 protected:
  VolumesTest() {
    std::string pattern = absl::StrCat(testing::TempDir(), "kubelet-XXXXXX");
    root_ = mkdtemp(pattern.data());
    world_.AddNode("node-1", "{zone: a}");
    Begin();
  }
  ~VolumesTest() override {
    End();
    EXPECT_TRUE(RemoveTree(root_).ok());
  }

  // A kubelet's volumes; what is mounted stays over restarts.
  void Begin() {
    informers_ = kube::NewInformers(world_.user(), world_.executor());
    auto mounter = std::make_unique<MounterFake>();
    for (const auto& [path, what] : mounts_) mounter->MountTmpfs(path, 0).IgnoreError();
    mounter_ = mounter.get();
    VolumesOptions options;
    options.node_name = "node-1";
    options.root = absl::StrCat(root_, "/kubelet");
    options.local_volumes = absl::StrCat(root_, "/local");
    options.in_use = [this](const std::string& uid) { return in_use_.count(uid) > 0; };
    volumes_ = NewVolumes(options, client_, *informers_, world_.executor(), std::move(mounter));
    informers_->Start();
    world_.Settle();
    volumes_->Start();
    world_.Settle();
  }
  void End() {
    mounts_ = mounter_->mounts();
    informers_->Stop();
    volumes_.reset();
    informers_.reset();
  }

  // With the volumes mounted at /NAME, on this node.
  std::shared_ptr<const Pod> MakePod(const std::string& name, const std::string& volumes,
                                     const std::string& names, const std::string& more = "") {
    std::string mounts;
    for (const auto one : absl::StrSplit(names, ',')) {
      absl::StrAppend(&mounts, mounts.empty() ? "" : ", ", "{name: ", one, ", mountPath: /", one,
                      "}");
    }
    auto pod = std::make_shared<Pod>(world_.Create<Pod>(
        absl::StrCat("{metadata: {name: ", name, ", labels: {app: web}}, spec: {nodeName: node-1, ",
                     more, "containers: [{name: c, image: i, volumeMounts: [", mounts,
                     "]}], volumes: [", volumes, "]}}")));
    world_.Settle();
    return pod;
  }
  PodMounts Prepare(const std::shared_ptr<const Pod>& pod) {
    absl::StatusOr<PodMounts> mounts = volumes_->Prepare(pod);
    EXPECT_TRUE(mounts.ok()) << mounts.status();
    return mounts.ok() ? *std::move(mounts) : PodMounts();
  }
  std::string Why(const std::shared_ptr<const Pod>& pod) {
    return std::string(volumes_->Prepare(pod).status().message());
  }
  static std::string Read(const PodMount& mount, const std::string& file) {
    return ReadSmallFile(absl::StrCat(mount.host_path, "/", file), 1 << 20).value_or("(none)");
  }
  static mode_t ModeOf(const std::string& path) { return StatOf(path)->st_mode & 07777; }
  std::string FolderOf(const Pod& pod) {
    return absl::StrCat(root_, "/kubelet/pods/", pod.metadata().uid());
  }
  void AddVolume(const std::string& name, const std::string& source, const std::string& more = "") {
    world_.Create<PersistentVolume>(absl::StrCat(
        "{metadata: {name: ", name, "}, spec: {capacity: {storage: 1Gi}, accessModes: ",
        more.empty() ? "[ReadWriteOnce]" : more,
        ", nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: zone, operator: "
        "In, values: [a]}]}]}}, ",
        source, "}}"));
  }
  // Bound to the volume, as the controller does it.
  void AddClaim(const std::string& name, const std::string& volume) {
    const auto claim = world_.Create<PersistentVolumeClaim>(
        absl::StrCat("{metadata: {name: ", name,
                     "}, spec: {accessModes: [ReadWriteOnce], storageClassName: '', "
                     "resources: {requests: {storage: 1Gi}}, volumeName: ",
                     volume, "}}"));
    world_.Patch<PersistentVolumeClaim>(name, "{status: {phase: Bound}}", "status");
    world_.Patch<PersistentVolume>(
        volume, absl::StrCat("{spec: {claimRef: {name: ", name,
                             ", namespace: default, uid: ", claim.metadata().uid(), "}}}"));
  }

  World world_;
  TokenClient client_{world_.user(), world_.executor().clock()};
  std::string root_;
  std::set<std::string> in_use_;
  std::map<std::string, std::string> mounts_;
  MounterFake* mounter_ = nullptr;
  std::unique_ptr<kube::Informers> informers_;
  std::unique_ptr<Volumes> volumes_;
};

TEST_F(VolumesTest, EmptyDirsAreThereForEverybodyAndGoWithThePod) {
  const auto pod = MakePod("web",
                           "{name: scratch, emptyDir: {}}, {name: unused, emptyDir: {}}, "
                           "{name: shm, emptyDir: {medium: Memory, sizeLimit: 64Mi}}",
                           "scratch,shm");
  const PodMounts mounts = Prepare(pod);
  ASSERT_EQ(mounts.size(), 2u);
  const std::string& scratch = mounts.at("scratch").host_path;
  EXPECT_EQ(scratch, absl::StrCat(FolderOf(*pod), "/volumes/kubernetes.io~empty-dir/scratch"));
  EXPECT_EQ(ModeOf(scratch), 0777u);
  EXPECT_FALSE(mounts.at("scratch").read_only);
  EXPECT_THAT(mounter_->mounts(), ElementsAre(Pair(mounts.at("shm").host_path, "tmpfs 67108864")));
  ASSERT_TRUE(WriteFile(scratch + "/data", "x", 0600).ok());
  EXPECT_EQ(Read(Prepare(pod).at("scratch"), "data"), "x") << "twice does no harm";
  EXPECT_GT(volumes_->Sizes(pod->metadata().uid()).at("scratch").used_bytes, 0);

  ASSERT_TRUE(volumes_->Remove(pod->metadata().uid()).ok());
  EXPECT_FALSE(LinkStatOf(FolderOf(*pod)).has_value());
  EXPECT_THAT(mounter_->mounts(), IsEmpty());
  EXPECT_TRUE(volumes_->Remove(pod->metadata().uid()).ok());
}

TEST_F(VolumesTest, AVolumeInMemoryIsNoLargerThanThePodsLimit) {
  const auto pod = std::make_shared<Pod>(world_.Create<Pod>(
      "{metadata: {name: p}, spec: {nodeName: node-1, containers: [{name: c, image: i, resources: "
      "{limits: {memory: 10Mi}}, volumeMounts: [{name: m, mountPath: /m}]}], volumes: [{name: m, "
      "emptyDir: {medium: Memory}}]}}"));
  Prepare(pod);
  EXPECT_EQ(mounter_->mounts().begin()->second, "tmpfs 10485760");
}

TEST_F(VolumesTest, ConfigMapsBecomeFilesAndFollowTheirObject) {
  world_.Create<ConfigMap>(
      "{metadata: {name: config}, data: {color: blue, size: '10'}, "
      "binaryData: {raw: AAEC}}");
  const auto pod =
      MakePod("web",
              "{name: all, configMap: {name: config, defaultMode: 0400}}, {name: one, configMap: "
              "{name: config, items: [{key: color, path: etc/paint, mode: 0444}]}}",
              "all,one");
  PodMounts mounts = Prepare(pod);
  EXPECT_EQ(Read(mounts.at("all"), "color"), "blue");
  EXPECT_EQ(Read(mounts.at("all"), "raw"), std::string("\0\1\2", 3));
  EXPECT_EQ(ModeOf(mounts.at("all").host_path + "/color"), 0400u);
  EXPECT_TRUE(mounts.at("all").read_only);
  EXPECT_EQ(Read(mounts.at("one"), "etc/paint"), "blue");
  EXPECT_EQ(ModeOf(mounts.at("one").host_path + "/etc/paint"), 0444u);
  EXPECT_FALSE(LinkStatOf(mounts.at("one").host_path + "/size").has_value());

  world_.Patch<ConfigMap>("config", "{data: {color: red, size: null}}");
  world_.Advance(seconds(70));
  EXPECT_EQ(Read(mounts.at("all"), "color"), "red");
  EXPECT_EQ(Read(mounts.at("one"), "etc/paint"), "red");
  EXPECT_FALSE(LinkStatOf(mounts.at("all").host_path + "/size").has_value());
}

TEST_F(VolumesTest, WhatIsMissingIsSaidInKubernetesWordsUnlessItIsOptional) {
  EXPECT_EQ(Why(MakePod("a", "{name: v, secret: {secretName: none}}", "v")),
            "MountVolume.SetUp failed for volume \"v\" : secret \"none\" not found");
  EXPECT_EQ(Why(MakePod("b", "{name: v, configMap: {name: none}}", "v")),
            "MountVolume.SetUp failed for volume \"v\" : configmap \"none\" not found");
  world_.Create<ConfigMap>("{metadata: {name: config}, data: {color: blue}}");
  world_.Create<Secret>("{metadata: {name: sec}, stringData: {a: '1'}}");
  EXPECT_EQ(
      Why(MakePod("c", "{name: v, configMap: {name: config, items: [{key: x, path: x}]}}", "v")),
      "MountVolume.SetUp failed for volume \"v\" : configmap references non-existent config key: "
      "x");
  EXPECT_EQ(
      Why(MakePod("d", "{name: v, secret: {secretName: sec, items: [{key: x, path: x}]}}", "v")),
      "MountVolume.SetUp failed for volume \"v\" : references non-existent secret key: x");
  EXPECT_EQ(Why(MakePod("e",
                        "{name: v, projected: {sources: [{secret: {name: x}}, {configMap: "
                        "{name: y}}]}}",
                        "v")),
            "MountVolume.SetUp failed for volume \"v\" : [secret \"x\" not found, configmap \"y\" "
            "not found]");
  EXPECT_EQ(Why(MakePod("f", "{name: v, nfs: {server: s, path: /}}", "v")),
            "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], "
            "failed to process volumes=[v]: failed to get Plugin from volumeSpec for volume \"v\" "
            "err=no volume plugin matched");

  const PodMounts mounts = Prepare(
      MakePod("o",
              "{name: v, configMap: {name: none, optional: true}}, {name: w, secret: {secretName: "
              "sec, optional: true, items: [{key: x, path: x}, {key: a, path: a}]}}",
              "v,w"));
  EXPECT_EQ(Read(mounts.at("w"), "a"), "1");
  // It comes later.
  world_.Create<ConfigMap>("{metadata: {name: none}, data: {late: 'yes'}}");
  world_.Advance(seconds(70));
  EXPECT_EQ(Read(mounts.at("v"), "late"), "yes");
}

TEST_F(VolumesTest, AFailureGoesAwayWithItsCause) {
  const auto pod = MakePod("web", "{name: v, secret: {secretName: late}}", "v");
  EXPECT_FALSE(volumes_->Prepare(pod).ok());
  world_.Create<Secret>("{metadata: {name: late}, stringData: {a: '1'}}");
  EXPECT_EQ(Read(Prepare(pod).at("v"), "a"), "1");
  EXPECT_TRUE(mounter_->IsMountPoint(Prepare(pod).at("v").host_path)) << "no secret on the disk";
}

TEST_F(VolumesTest, ImmutableObjectsAreNotReadAgain) {
  world_.Create<ConfigMap>("{metadata: {name: fixed}, data: {a: '1'}, immutable: true}");
  const auto pod = MakePod("web", "{name: v, configMap: {name: fixed}}", "v");
  Prepare(pod);
  client_.calls = 0;
  world_.Advance(minutes(4));
  EXPECT_EQ(client_.calls, 0);
}

TEST_F(VolumesTest, PodsThatShareAConfigMapReadItOncePerRound) {
  world_.Create<ConfigMap>("{metadata: {name: shared}, data: {a: '1'}}");
  for (int i = 0; i < 10; ++i) {
    Prepare(MakePod(absl::StrCat("p", i), "{name: v, configMap: {name: shared}}", "v"));
  }
  client_.calls = 0;
  world_.Advance(minutes(10));
  EXPECT_GE(client_.calls, 10);
  EXPECT_LE(client_.calls, 30);
}

TEST_F(VolumesTest, TheDownwardApiFollowsLabelsAtOnce) {
  const auto pod =
      MakePod("web",
              "{name: v, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: "
              "metadata.labels}}, {path: cpu, resourceFieldRef: {containerName: c, resource: "
              "limits.cpu}}]}}",
              "v");
  const PodMounts mounts = Prepare(pod);
  EXPECT_EQ(Read(mounts.at("v"), "labels"), "app=\"web\"");
  EXPECT_EQ(Read(mounts.at("v"), "cpu"), "8") << "the node's";
  world_.Patch<Pod>("web", "{metadata: {labels: {tier: gold}}}");
  world_.Settle();
  EXPECT_EQ(Read(mounts.at("v"), "labels"), "app=\"web\"\ntier=\"gold\"");
}

TEST_F(VolumesTest, TokensAreBoundToThePodAndRenewedInTime) {
  const auto pod =
      MakePod("web",
              "{name: v, projected: {sources: [{serviceAccountToken: {path: token, "
              "expirationSeconds: 3600, audience: vault}}, {downwardAPI: {items: [{path: ns, "
              "fieldRef: {fieldPath: metadata.namespace}}]}}]}}",
              "v", "serviceAccountName: default, automountServiceAccountToken: false, ");
  const PodMounts mounts = Prepare(pod);
  EXPECT_EQ(Read(mounts.at("v"), "token"), "token-1");
  EXPECT_EQ(Read(mounts.at("v"), "ns"), "default");
  ASSERT_EQ(client_.requests.size(), 1u);
  EXPECT_THAT(client_.requests[0], HasSubstr(R"("audiences":["vault"])"));
  EXPECT_THAT(client_.requests[0], HasSubstr(pod->metadata().uid()));
  world_.Advance(minutes(47));
  EXPECT_EQ(Read(mounts.at("v"), "token"), "token-1");
  world_.Advance(minutes(3));
  EXPECT_EQ(Read(mounts.at("v"), "token"), "token-2") << "80 % of an hour are over";
  EXPECT_EQ(client_.requests.size(), 2u);
}

TEST_F(VolumesTest, TokensOfAPodWithAGroupAreReadByItAlone) {
  const std::string more = absl::StrCat(
      "serviceAccountName: default, automountServiceAccountToken: false, securityContext: "
      "{fsGroup: ",
      getgid(), "}, ");
  const auto pod = MakePod("web",
                           "{name: v, projected: {sources: [{serviceAccountToken: {path: "
                           "token}}]}}",
                           "v", more);
  const PodMounts mounts = Prepare(pod);
  EXPECT_EQ(ModeOf(mounts.at("v").host_path + "/token"), 0640u);
}

TEST_F(VolumesTest, ARestartedKubeletGoesOnWithWhatIsThere) {
  world_.Create<ConfigMap>("{metadata: {name: config}, data: {a: '1'}}");
  const auto pod = MakePod("web",
                           "{name: c, configMap: {name: config}}, {name: s, emptyDir: "
                           "{medium: Memory}}",
                           "c,s");
  PodMounts mounts = Prepare(pod);
  ASSERT_TRUE(WriteFile(mounts.at("s").host_path + "/kept", "x", 0600).ok());
  End();
  client_.down = true;
  Begin();
  // While the API server is away containers may start again, with what was there.
  mounts = Prepare(pod);
  EXPECT_EQ(Read(mounts.at("c"), "a"), "1");
  EXPECT_EQ(Read(mounts.at("s"), "kept"), "x");
  End();
  client_.down = false;
  world_.Patch<ConfigMap>("config", "{data: {a: '2'}}");
  Begin();
  // Nobody has asked for it since, but its containers run.
  world_.Advance(seconds(70));
  EXPECT_EQ(Read(mounts.at("c"), "a"), "2");
}

TEST_F(VolumesTest, HostPathsAreGivenAsTheyAre) {
  ASSERT_TRUE(WriteFile(absl::StrCat(root_, "/file"), "x", 0644).ok());
  const auto pod = MakePod(
      "web",
      absl::StrCat("{name: d, hostPath: {path: ", root_, "/new, type: DirectoryOrCreate}}, ",
                   "{name: f, hostPath: {path: ", root_, "/file, type: File}}"),
      "d,f");
  const PodMounts mounts = Prepare(pod);
  EXPECT_EQ(mounts.at("d").host_path, absl::StrCat(root_, "/new"));
  EXPECT_TRUE(IsFolder(absl::StrCat(root_, "/new")));
  EXPECT_TRUE(mounts.at("f").is_file);
  ASSERT_TRUE(volumes_->Remove(pod->metadata().uid()).ok());
  EXPECT_TRUE(IsFolder(absl::StrCat(root_, "/new"))) << "the host's own";
  EXPECT_EQ(
      Why(MakePod("bad",
                  absl::StrCat("{name: d, hostPath: {path: ", root_, "/file, type: Directory}}"),
                  "d")),
      absl::StrCat("MountVolume.SetUp failed for volume \"d\" : hostPath type check failed: ",
                   root_, "/file is not a directory"));
}

TEST_F(VolumesTest, SubPathsAreMountsOfTheThingThatWasLookedAt) {
  const auto pod = MakePod("web", "{name: v, emptyDir: {}}", "v");
  const PodMount mount = Prepare(pod).at("v");
  const std::string& uid = pod->metadata().uid();
  const absl::StatusOr<std::string> path = volumes_->SubPath(uid, mount, "logs/web");
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_EQ(mounter_->mounts().at(*path), absl::StrCat(mount.host_path, "/logs/web"));
  ASSERT_EQ(symlink("/etc", (mount.host_path + "/evil").c_str()), 0);
  const absl::StatusOr<std::string> evil = volumes_->SubPath(uid, mount, "evil");
  EXPECT_EQ(evil.status().message(),
            absl::StrCat("subpath \"", mount.host_path, "/evil\" not within volume path \"",
                         mount.host_path, "\""));
  ASSERT_TRUE(volumes_->Remove(uid).ok());
  EXPECT_THAT(mounter_->mounts(), IsEmpty());
}

TEST_F(VolumesTest, MountsWithinAReadOnlyVolumeFindTheirPlace) {
  world_.Create<ConfigMap>("{metadata: {name: config}, data: {a: '1'}}");
  const auto pod = std::make_shared<Pod>(world_.Create<Pod>(
      "{metadata: {name: p}, spec: {nodeName: node-1, containers: [{name: c, image: i, "
      "volumeMounts: [{name: v, mountPath: /etc/app}, {name: w, mountPath: /etc/app/cache/x}]}], "
      "volumes: [{name: v, configMap: {name: config}}, {name: w, emptyDir: {}}]}}"));
  EXPECT_TRUE(IsFolder(Prepare(pod).at("v").host_path + "/cache/x"));
}

// ---- claims ----

TEST_F(VolumesTest, ABoundClaimIsItsVolumesFolder) {
  const std::string path = absl::StrCat(root_, "/local/pvc-1");
  AddVolume("pvc-1", absl::StrCat("local: {path: ", path, "}"));
  AddClaim("data", "pvc-1");
  const auto pod = MakePod("db", "{name: v, persistentVolumeClaim: {claimName: data}}", "v");
  const PodMounts mounts = Prepare(pod);
  EXPECT_EQ(mounts.at("v").host_path, path);
  EXPECT_EQ(ModeOf(path), 0777u) << "made at its first use";
  ASSERT_TRUE(WriteFile(path + "/rows", "1", 0600).ok());
  ASSERT_TRUE(volumes_->Remove(pod->metadata().uid()).ok());
  EXPECT_EQ(Read(mounts.at("v"), "rows"), "1") << "the volume outlives the pod";
  world_.Advance(minutes(10));
  EXPECT_EQ(Read(mounts.at("v"), "rows"), "1") << "and a sweep";
}

TEST_F(VolumesTest, FoldersGoWithTheirPersistentVolume) {
  const std::string local = absl::StrCat(root_, "/local");
  AddVolume("pvc-1", absl::StrCat("local: {path: ", local, "/pvc-1}"));
  for (const char* name : {"/pvc-1", "/pvc-2/deep", "/mine"}) {
    ASSERT_TRUE(MakeFolders(local + name, 0777).ok());
  }
  client_.down = true;
  world_.Advance(minutes(2));
  EXPECT_TRUE(IsFolder(local + "/pvc-2")) << "nobody has said that it is gone";
  client_.down = false;
  world_.Advance(minutes(2));
  EXPECT_THAT(NamesIn(local), ElementsAre("mine", "pvc-1"));
}

TEST_F(VolumesTest, ClaimsThatCannotBeMountedSayWhy) {
  const auto why = [this](const std::string& name, const std::string& claim) {
    return Why(MakePod(
        name, absl::StrCat("{name: v, persistentVolumeClaim: {claimName: ", claim, "}}"), "v"));
  };
  const std::string head =
      "Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to "
      "process volumes=[v]: ";
  EXPECT_EQ(why("a", "none"),
            absl::StrCat(head, "error processing PVC default/none: failed to fetch PVC from API ",
                         "server: persistentvolumeclaims \"none\" not found"));
  world_.Create<PersistentVolumeClaim>(
      "{metadata: {name: waits}, spec: {accessModes: [ReadWriteOnce], resources: {requests: "
      "{storage: 1Gi}}}}");
  EXPECT_EQ(why("b", "waits"),
            absl::StrCat(head, "error processing PVC default/waits: PVC is not bound"));
  AddVolume("nfs", "nfs: {server: s, path: /}");
  AddClaim("nfs-claim", "nfs");
  EXPECT_THAT(why("c", "nfs-claim"), HasSubstr("no volume plugin matched"));
  AddVolume("lost", "local: {path: /nowhere/at/all}");
  AddClaim("lost-claim", "lost");
  EXPECT_EQ(why("d", "lost-claim"),
            "MountVolume.NewMounter initialization failed for volume \"lost\" : path "
            "\"/nowhere/at/all\" does not exist");
  world_.Patch<Node>("node-1", "{metadata: {labels: {zone: b}}}");
  world_.Advance(minutes(2));
  EXPECT_EQ(why("e", "lost-claim"),
            "MountVolume.NodeAffinity check failed for volume \"lost\" : no matching "
            "NodeSelectorTerms");
}

TEST_F(VolumesTest, AVolumeForOnePodAloneIsGivenToOne) {
  AddVolume("pvc-1", absl::StrCat("local: {path: ", root_, "/local/pvc-1}"), "[ReadWriteOncePod]");
  AddClaim("data", "pvc-1");
  const std::string volume = "{name: v, persistentVolumeClaim: {claimName: data}}";
  const auto first = MakePod("a", volume, "v"), second = MakePod("b", volume, "v");
  Prepare(first);
  EXPECT_THAT(Why(second),
              HasSubstr("uses the ReadWriteOncePod access mode and is already in use"));
  ASSERT_TRUE(volumes_->Remove(first->metadata().uid()).ok());
  Prepare(second);
}

TEST_F(VolumesTest, OrphanedFoldersGoOnceTheRuntimeHasNothingOfThem) {
  const auto pod = MakePod("web", "{name: v, emptyDir: {}}", "v");
  Prepare(pod);
  End();
  world_.Delete<Pod>("web", {.grace_period_seconds = 0});
  in_use_ = {pod->metadata().uid()};
  Begin();
  world_.Advance(minutes(5));
  EXPECT_TRUE(IsFolder(FolderOf(*pod))) << "its containers still run";
  in_use_.clear();
  world_.Advance(minutes(2));
  EXPECT_FALSE(IsFolder(FolderOf(*pod)));
}

TEST_F(VolumesTest, TheNodeTellsWhereItsVolumesGo) {
  EXPECT_EQ(world_.Get<Node>("node-1").metadata().annotations().at(kLocalVolumesAnnotation),
            absl::StrCat(root_, "/local"));
  world_.Patch<Node>("node-1", "{metadata: {annotations: null}}");
  world_.Advance(minutes(6));
  EXPECT_EQ(world_.Get<Node>("node-1").metadata().annotations().count(kLocalVolumesAnnotation), 1u);
}

}  // namespace
}  // namespace meltemi::kubelet
