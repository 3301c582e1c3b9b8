#include "orchestrator/controllers/garbage/garbage.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using kube::apps::v1::Deployment;
using kube::apps::v1::ReplicaSet;
using kube::core::v1::ConfigMap;
using kube::core::v1::Namespace;
using kube::core::v1::Pod;
using kube::core::v1::Secret;

constexpr char kTemplate[] =
    "selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: "
    "[{name: c, image: i}]}}";

std::string Ref(absl::string_view api_version, absl::string_view kind, absl::string_view name,
                absl::string_view uid, bool blocks = false) {
  return absl::StrCat("{apiVersion: ", api_version, ", kind: ", kind, ", name: ", name,
                      ", uid: ", uid, ", blockOwnerDeletion: ", blocks ? "true" : "false", "}");
}

class GarbageTest : public testing::Test {
 protected:
  void Begin() { world_.Run(NewGarbageCollector(world_.context())); }
  // Discovery finds all kinds, and their lists come in.
  void BeginAndSync() {
    Begin();
    world_.Advance(seconds(1));
  }
  std::string AddSet(absl::string_view name, absl::string_view owner = "") {
    return world_
        .Create<ReplicaSet>(absl::StrCat("{metadata: {name: ", name, ", ownerReferences: [", owner,
                                         "]}, spec: {", kTemplate, "}}"))
        .metadata()
        .uid();
  }
  std::string AddPod(absl::string_view name, absl::string_view owners) {
    return world_
        .Create<Pod>(absl::StrCat("{metadata: {name: ", name, ", ownerReferences: [", owners,
                                  "]}, spec: {containers: [{name: c, image: i}]}}"))
        .metadata()
        .uid();
  }
  std::string AddMap(absl::string_view name, absl::string_view owners,
                     absl::string_view ns = "default") {
    return world_
        .Create<ConfigMap>(absl::StrCat("{metadata: {name: ", name, ", namespace: ", ns,
                                        ", ownerReferences: [", owners, "]}}"))
        .metadata()
        .uid();
  }
  static std::string SetRef(absl::string_view name, absl::string_view uid, bool blocks = false) {
    return Ref("apps/v1", "ReplicaSet", name, uid, blocks);
  }
  static std::string MapRef(absl::string_view name, absl::string_view uid, bool blocks = false) {
    return Ref("v1", "ConfigMap", name, uid, blocks);
  }
  bool HasPod(absl::string_view name) { return world_.Find<Pod>(name).has_value(); }
  bool HasMap(absl::string_view name) { return world_.Find<ConfigMap>(name).has_value(); }

  World world_;
};

TEST_F(GarbageTest, DependentsGoWithTheirOwner) {
  BeginAndSync();
  const std::string deployment =
      world_.Create<Deployment>(absl::StrCat("{metadata: {name: web}, spec: {", kTemplate, "}}"))
          .metadata()
          .uid();
  const std::string set = AddSet("web-1", Ref("apps/v1", "Deployment", "web", deployment, true));
  AddPod("a", SetRef("web-1", set));
  AddPod("b", SetRef("web-1", set));
  AddPod("alone", "");
  world_.Settle();
  world_.Delete<Deployment>("web");
  world_.Settle();
  EXPECT_FALSE(world_.Find<ReplicaSet>("web-1").has_value());
  EXPECT_FALSE(HasPod("a"));
  EXPECT_FALSE(HasPod("b"));
  EXPECT_TRUE(HasPod("alone"));
}

TEST_F(GarbageTest, AllKindsCanOwnAndBeOwned) {
  BeginAndSync();
  const std::string secret = world_.Create<Secret>("{metadata: {name: s}}").metadata().uid();
  AddMap("m", Ref("v1", "Secret", "s", secret));
  world_.Settle();
  world_.Delete<Secret>("s");
  world_.Settle();
  EXPECT_FALSE(HasMap("m"));
}

TEST_F(GarbageTest, WhatHasNeverHadItsOwnerGoesToo) {
  AddPod("a", SetRef("none", "no-such-uid"));
  // Another object has its owner's name by now.
  AddSet("web");
  AddPod("b", SetRef("web", "uid-of-the-one-before"));
  BeginAndSync();
  EXPECT_FALSE(HasPod("a"));
  EXPECT_FALSE(HasPod("b"));
  EXPECT_TRUE(world_.Find<ReplicaSet>("web").has_value());
}

TEST_F(GarbageTest, NothingHappensToWhatHasItsOwner) {
  const std::string set = AddSet("web");
  AddPod("a", SetRef("web", set));
  BeginAndSync();
  const size_t writes = world_.Writes();
  world_.Advance(minutes(10));
  EXPECT_TRUE(HasPod("a"));
  EXPECT_EQ(world_.Writes(), writes);
}

TEST_F(GarbageTest, OneOwnerIsEnough) {
  BeginAndSync();
  const std::string one = AddSet("one"), two = AddSet("two");
  AddPod("a", absl::StrCat(SetRef("one", one), ", ", SetRef("two", two)));
  world_.Settle();
  world_.Delete<ReplicaSet>("one");
  world_.Settle();
  const Pod pod = world_.Get<Pod>("a");
  ASSERT_EQ(pod.metadata().owner_references_size(), 1);
  EXPECT_EQ(pod.metadata().owner_references(0).name(), "two");
  world_.Delete<ReplicaSet>("two");
  world_.Settle();
  EXPECT_FALSE(HasPod("a"));
}

TEST_F(GarbageTest, InTheForegroundTheOwnerWaits) {
  BeginAndSync();
  world_.AddNode("node-1");
  const std::string set = AddSet("web");
  AddPod("a", SetRef("web", set, true));
  AddPod("b", SetRef("web", set, false));
  world_.RunPods();
  world_.Delete<ReplicaSet>("web", {.propagation = "Foreground"});
  world_.Settle();
  EXPECT_TRUE(world_.Get<Pod>("a").metadata().has_deletion_timestamp());
  EXPECT_TRUE(world_.Get<Pod>("b").metadata().has_deletion_timestamp());
  EXPECT_TRUE(world_.Find<ReplicaSet>("web").has_value());
  world_.Delete<Pod>("a", {.grace_period_seconds = 0});
  world_.Settle();
  EXPECT_FALSE(world_.Find<ReplicaSet>("web").has_value());
}

TEST_F(GarbageTest, AForegroundDeletionIsTakenUpAfterARestart) {
  BeginAndSync();
  world_.AddNode("node-1");
  const std::string set = AddSet("web");
  AddPod("a", SetRef("web", set, true));
  world_.RunPods();
  world_.process().SetFate([](const kube::ApiCall& call) {
    return call.method == "GET" ? apiserver::Fate::kPass : apiserver::Fate::kLoseCall;
  });
  world_.Delete<ReplicaSet>("web", {.propagation = "Foreground"});
  world_.Settle();
  EXPECT_FALSE(world_.Get<Pod>("a").metadata().has_deletion_timestamp());
  world_.Restart(NewGarbageCollector);
  world_.Advance(seconds(2));
  EXPECT_TRUE(world_.Get<Pod>("a").metadata().has_deletion_timestamp());
  world_.ReapPods();
  EXPECT_FALSE(world_.Find<ReplicaSet>("web").has_value());
}

TEST_F(GarbageTest, OrphansStay) {
  BeginAndSync();
  const std::string set = AddSet("web");
  AddPod("a", SetRef("web", set));
  AddMap("m", SetRef("web", set));
  world_.Settle();
  world_.Delete<ReplicaSet>("web", {.propagation = "Orphan"});
  world_.Settle();
  EXPECT_FALSE(world_.Find<ReplicaSet>("web").has_value());
  EXPECT_EQ(world_.Get<Pod>("a").metadata().owner_references_size(), 0);
  EXPECT_EQ(world_.Get<ConfigMap>("m").metadata().owner_references_size(), 0);
  world_.Advance(minutes(2));
  EXPECT_TRUE(HasPod("a"));
}

TEST_F(GarbageTest, OrphansStayEvenThoseThatWereNotSeenYet) {
  // Whichever of the two watches tells first.
  for (const uint64_t first : {0, 1}) {
    World world;
    world.Run(NewGarbageCollector(world.context()));
    world.Advance(seconds(1));
    const std::string set =
        world.Create<ReplicaSet>(absl::StrCat("{metadata: {name: web}, spec: {", kTemplate, "}}"))
            .metadata()
            .uid();
    world.Settle();
    world.Create<Pod>(absl::StrCat("{metadata: {name: a, ownerReferences: [", SetRef("web", set),
                                   "]}, spec: {containers: [{name: c, image: i}]}}"));
    world.Delete<ReplicaSet>("web", {.propagation = "Orphan"});
    while (world.api().undelivered() > 1) {
      world.api().DeliverOne(first);
      world.executor().RunReady();
    }
    world.Settle();
    world.Advance(minutes(1));
    ASSERT_TRUE(world.Find<Pod>("a").has_value());
    EXPECT_EQ(world.Get<Pod>("a").metadata().owner_references_size(), 0);
    EXPECT_FALSE(world.Find<ReplicaSet>("web").has_value());
  }
}

TEST_F(GarbageTest, AnOwnerInAnotherNamespaceIsNone) {
  BeginAndSync();
  world_.Create<Namespace>("{metadata: {name: other}}");
  const std::string owner = AddMap("owner", "", "other");
  world_.Settle();
  AddMap("m", MapRef("owner", owner));
  world_.Settle();
  EXPECT_FALSE(HasMap("m"));
  EXPECT_EQ(world_.Events(),
            std::vector<std::string>{absl::StrCat(
                "Warning OwnerRefInvalidNamespace ownerRef [v1/ConfigMap, namespace: default, "
                "name: owner, uid: ",
                owner, "] does not exist in namespace \"default\"")});
  EXPECT_TRUE(world_.Find<ConfigMap>("owner", "other").has_value());
}

TEST_F(GarbageTest, AnOwnerOfAKindThatNobodyServesIsNotTakenForGone) {
  AddMap("m", Ref("example.com/v1", "Widget", "w", "uid-w"));
  AddMap("n", Ref("not a version", "Widget", "w", "uid-x"));
  BeginAndSync();
  int calls = 0;
  world_.process().SetFate([&calls](const kube::ApiCall& call) {
    if (absl::StrContains(call.path, "configmaps")) ++calls;
    return apiserver::Fate::kPass;
  });
  world_.Advance(minutes(10));
  EXPECT_TRUE(HasMap("m"));
  EXPECT_TRUE(HasMap("n"));
  EXPECT_LT(calls, 10);
}

TEST_F(GarbageTest, CirclesGoInTheForeground) {
  BeginAndSync();
  const std::string a = AddMap("a", "");
  const std::string b = AddMap("b", MapRef("a", a, true));
  const std::string c = AddMap("c", MapRef("b", b, true));
  world_.Patch<ConfigMap>(
      "a", absl::StrCat("{metadata: {ownerReferences: [", MapRef("c", c, true), "]}}"));
  world_.Settle();
  world_.Advance(seconds(5));
  EXPECT_TRUE(HasMap("a"));
  world_.Delete<ConfigMap>("a", {.propagation = "Foreground"});
  world_.Settle();
  world_.Advance(minutes(1));
  EXPECT_FALSE(HasMap("a"));
  EXPECT_FALSE(HasMap("b"));
  EXPECT_FALSE(HasMap("c"));
}

TEST_F(GarbageTest, CirclesGoInTheBackground) {
  BeginAndSync();
  const std::string a = AddMap("a", "");
  const std::string b = AddMap("b", MapRef("a", a));
  world_.Patch<ConfigMap>("a",
                          absl::StrCat("{metadata: {ownerReferences: [", MapRef("b", b), "]}}"));
  world_.Settle();
  world_.Delete<ConfigMap>("a");
  world_.Settle();
  EXPECT_FALSE(HasMap("b"));
}

TEST_F(GarbageTest, WhatOwnsItselfCanBeDeleted) {
  BeginAndSync();
  const std::string a = AddMap("a", "");
  world_.Patch<ConfigMap>(
      "a", absl::StrCat("{metadata: {ownerReferences: [", MapRef("a", a, true), "]}}"));
  world_.Settle();
  world_.Advance(minutes(1));
  EXPECT_TRUE(HasMap("a"));
  world_.Delete<ConfigMap>("a", {.propagation = "Foreground"});
  world_.Settle();
  EXPECT_FALSE(HasMap("a"));
}

TEST_F(GarbageTest, AClusterScopedObjectWithANamespacedOwnerStays) {
  const std::string map = AddMap("m", "");
  world_.Create<Namespace>(
      absl::StrCat("{metadata: {name: n1, ownerReferences: [", MapRef("m", map), "]}}"));
  BeginAndSync();
  const size_t writes = world_.Writes();
  world_.Advance(minutes(5));
  EXPECT_EQ(world_.Writes(), writes);
  EXPECT_TRUE(world_.Find<Namespace>("n1", "").has_value());
}

TEST_F(GarbageTest, WhoIsAdoptedInTheLastMomentStays) {
  BeginAndSync();
  const std::string old_set = AddSet("old"), new_set = AddSet("new");
  AddPod("a", SetRef("old", old_set));
  world_.Settle();
  bool adopted = false;
  world_.process().SetFate([&](const kube::ApiCall& call) {
    if (call.method == "DELETE" && !std::exchange(adopted, true)) {
      world_.Patch<Pod>(
          "a", absl::StrCat("{metadata: {ownerReferences: [", SetRef("new", new_set), "]}}"));
    }
    return apiserver::Fate::kPass;
  });
  world_.Delete<ReplicaSet>("old");
  world_.Settle();
  world_.Advance(minutes(1));
  EXPECT_TRUE(adopted);
  EXPECT_TRUE(HasPod("a"));
}

TEST_F(GarbageTest, CallsThatFailAreRepeated) {
  BeginAndSync();
  const std::string set = AddSet("web");
  for (int i = 0; i < 5; ++i) AddPod(absl::StrCat("p", i), SetRef("web", set));
  world_.Settle();
  world_.process().SetFate([n = 0](const kube::ApiCall& call) mutable {
    static constexpr apiserver::Fate kFates[] = {apiserver::Fate::kRefuse, apiserver::Fate::kPass,
                                                 apiserver::Fate::kLoseAnswer};
    return ++n < 30 ? kFates[n % 3] : apiserver::Fate::kPass;
  });
  world_.Delete<ReplicaSet>("web");
  world_.Settle();
  world_.Advance(minutes(5));
  EXPECT_TRUE(world_.List<Pod>().empty());
}

TEST_F(GarbageTest, WhileDiscoveryFailsNothingIsDeleted) {
  bool fails = true;
  world_.process().SetFate([&fails](const kube::ApiCall& call) {
    return fails && call.path == "/apis" ? apiserver::Fate::kRefuse : apiserver::Fate::kPass;
  });
  const std::string set = AddSet("web");
  AddPod("a", SetRef("web", set));
  AddPod("b", SetRef("none", "no-such-uid"));
  Begin();
  world_.Advance(seconds(20));
  EXPECT_TRUE(HasPod("b"));
  fails = false;
  world_.Advance(seconds(40));
  EXPECT_FALSE(HasPod("b"));
  EXPECT_TRUE(HasPod("a"));
}

}  // namespace
}  // namespace meltemi::controllers
