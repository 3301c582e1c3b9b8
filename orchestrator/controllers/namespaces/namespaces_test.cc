#include "orchestrator/controllers/namespaces/namespaces.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/namespace.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::ConfigMap;
using kube::core::v1::Namespace;
using kube::core::v1::Pod;

class NamespacesTest : public testing::Test {
 protected:
  void Begin() {
    world_.Create<Namespace>("{metadata: {name: shop}}");
    world_.Run(NewNamespaceController(world_.context()));
  }
  void AddMap(absl::string_view name, absl::string_view finalizer = "") {
    world_.Create<ConfigMap>(absl::StrCat("{metadata: {name: ", name,
                                          ", namespace: shop, finalizers: [", finalizer,
                                          "]}, data: {a: b}}"));
  }
  void AddPod(absl::string_view name, int grace_s) {
    world_.Create<Pod>(absl::StrCat("{metadata: {name: ", name,
                                    ", namespace: shop}, spec: {terminationGracePeriodSeconds: ",
                                    grace_s, ", containers: [{name: c, image: i}]}}"));
    world_.AddNode(absl::StrCat("node-of-", name));
    world_.RunPods(absl::StrCat("node-of-", name));
  }
  void DeleteIt() {
    world_.Delete<Namespace>("shop", {}, "");
    world_.Settle();
  }
  bool IsThere() { return world_.Find<Namespace>("shop", "").has_value(); }
  std::string Told(absl::string_view type) {
    const Namespace ns = world_.Get<Namespace>("shop", "");
    for (const auto& condition : ns.status().conditions()) {
      if (condition.type() == type) {
        return absl::StrCat(condition.status(), " ", condition.reason(), ": ", condition.message());
      }
    }
    return "";
  }

  World world_;
};

TEST_F(NamespacesTest, OneThatLivesIsLeftAlone) {
  Begin();
  AddMap("a");
  const size_t writes = world_.Writes();
  world_.Advance(minutes(5));
  EXPECT_EQ(world_.Writes(), writes);
}

TEST_F(NamespacesTest, GoesWithAllThatIsInIt) {
  Begin();
  AddMap("a");
  AddMap("b");
  DeleteIt();
  EXPECT_FALSE(world_.Find<ConfigMap>("a", "shop").has_value());
  // Servers may not all know yet that it goes.
  ASSERT_TRUE(IsThere());
  EXPECT_EQ(world_.Get<Namespace>("shop", "").status().phase(), "Terminating");
  world_.Advance(seconds(3));
  EXPECT_FALSE(IsThere());
}

TEST_F(NamespacesTest, WaitsForPodsAndSaysSo) {
  Begin();
  AddPod("p", 30);
  AddMap("a");
  DeleteIt();
  EXPECT_TRUE(world_.Get<Pod>("p", "shop").metadata().has_deletion_timestamp());
  EXPECT_EQ(Told("NamespaceContentRemaining"),
            "True SomeResourcesRemain: Some resources are remaining: pods. has 1 resource "
            "instances");
  EXPECT_EQ(Told("NamespaceDeletionContentFailure"),
            "False ContentDeleted: All content successfully deleted, may be waiting on "
            "finalization");
  world_.Advance(seconds(8));
  EXPECT_TRUE(IsThere());
  world_.ReapPods();
  world_.Advance(seconds(2));
  EXPECT_FALSE(IsThere());
}

TEST_F(NamespacesTest, WaitsForFinalizersAndSaysSo) {
  Begin();
  AddMap("a", "example.com/wait");
  DeleteIt();
  EXPECT_EQ(Told("NamespaceFinalizersRemaining"),
            "True SomeFinalizersRemain: Some content in the namespace has finalizers remaining: "
            "example.com/wait in 1 resource instances");
  const size_t writes = world_.Writes();
  world_.Advance(minutes(2));
  EXPECT_EQ(world_.Writes(), writes);
  world_.Patch<ConfigMap>("a", "{metadata: {finalizers: null}}", "", "shop");
  world_.Advance(seconds(10));
  EXPECT_FALSE(IsThere());
}

TEST_F(NamespacesTest, APodThatOutlivesItsGracePeriodIsAFailure) {
  Begin();
  AddPod("p", 5);
  DeleteIt();
  world_.Advance(seconds(20));
  EXPECT_EQ(Told("NamespaceDeletionContentFailure"),
            "True ContentDeletionFailed: Failed to delete all resource types, 1 remaining: "
            "unexpected items still remain in namespace: shop for gvr: /v1, Resource=pods");
  world_.ReapPods();
  world_.Advance(minutes(2));
  EXPECT_FALSE(IsThere());
}

TEST_F(NamespacesTest, IsTakenUpAgainAfterARestart) {
  Begin();
  AddPod("p", 30);
  DeleteIt();
  world_.ReapPods();
  world_.Restart(NewNamespaceController);
  world_.Advance(seconds(3));
  EXPECT_FALSE(IsThere());
}

TEST_F(NamespacesTest, CallsThatFailAreRepeated) {
  Begin();
  for (const char* name : {"a", "b", "c"}) AddMap(name);
  world_.process().SetFate([n = 0](const kube::ApiCall&) mutable {
    static constexpr apiserver::Fate kFates[] = {apiserver::Fate::kPass, apiserver::Fate::kRefuse,
                                                 apiserver::Fate::kPass,
                                                 apiserver::Fate::kLoseAnswer};
    ++n;
    return n < 40 ? kFates[n % 4] : apiserver::Fate::kPass;
  });
  DeleteIt();
  world_.Advance(minutes(30));
  EXPECT_FALSE(IsThere());
}

TEST_F(NamespacesTest, WhileAServerDoesNotAnswerNothingIsTakenForEmpty) {
  Begin();
  AddMap("a");
  bool lists_fail = true;
  world_.process().SetFate([&lists_fail](const kube::ApiCall& call) {
    const bool is_list = call.method == "GET" && absl::EndsWith(call.path, "/configmaps");
    return lists_fail && is_list ? apiserver::Fate::kRefuse : apiserver::Fate::kPass;
  });
  DeleteIt();
  world_.Advance(minutes(1));
  EXPECT_TRUE(world_.Find<ConfigMap>("a", "shop").has_value());
  EXPECT_TRUE(absl::StartsWith(Told("NamespaceDeletionContentFailure"), "True "));
  lists_fail = false;
  world_.Advance(minutes(3));
  EXPECT_FALSE(IsThere());
}

TEST_F(NamespacesTest, FinalizersOfOthersStay) {
  Begin();
  Namespace ns = world_.Get<Namespace>("shop", "");
  ns.mutable_spec()->add_finalizers("example.com/mine");
  const kube::Outcome put = kube::internal::UpdateInto(world_.user(), kube::ResourceOf<Namespace>(),
                                                       "finalize", ns, nullptr);
  ASSERT_TRUE(put.ok());
  DeleteIt();
  world_.Advance(minutes(1));
  ns = world_.Get<Namespace>("shop", "");
  ASSERT_EQ(ns.spec().finalizers_size(), 1);
  EXPECT_EQ(ns.spec().finalizers(0), "example.com/mine");
}

}  // namespace
}  // namespace meltemi::controllers
