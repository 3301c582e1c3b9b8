#include "orchestrator/controllers/garbage/graph.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meltemi::controllers {
namespace {

using kube::meta::v1::ObjectMeta;
using kube::meta::v1::OwnerReference;

const KindName kPod{"v1", "Pod"};
const KindName kSet{"apps/v1", "ReplicaSet"};
const KindName kNode{"v1", "Node"};

// An object whose uid is "u-NAME".
class Object {
 public:
  explicit Object(absl::string_view name, absl::string_view ns = "default") {
    meta_.set_name(std::string(name));
    meta_.set_namespace_(std::string(ns));
    meta_.set_uid(absl::StrCat("u-", name));
  }
  Object& OwnedBy(const KindName& kind, absl::string_view name, bool blocks = false,
                  absl::string_view uid = "") {
    OwnerReference& owner = *meta_.add_owner_references();
    owner.set_api_version(kind.api_version);
    owner.set_kind(kind.kind);
    owner.set_name(std::string(name));
    owner.set_uid(uid.empty() ? absl::StrCat("u-", name) : std::string(uid));
    if (blocks) owner.set_block_owner_deletion(true);
    return *this;
  }
  Object& Deleted(absl::string_view finalizer = "") {
    meta_.mutable_deletion_timestamp()->set_seconds(1);
    if (!finalizer.empty()) meta_.add_finalizers(std::string(finalizer));
    return *this;
  }
  const ObjectMeta& meta() const { return meta_; }

 private:
  ObjectMeta meta_;
};

std::string Told(const GraphWork& work) {
  std::string out;
  if (!work.to_check.empty()) absl::StrAppend(&out, "check ", absl::StrJoin(work.to_check, " "));
  if (!work.check_late.empty()) {
    absl::StrAppend(&out, "late ", absl::StrJoin(work.check_late, " "));
  }
  if (!work.to_orphan.empty()) absl::StrAppend(&out, "orphan ", absl::StrJoin(work.to_orphan, " "));
  for (const auto& bad : work.bad_references) {
    absl::StrAppend(&out, " bad ", bad.dependent.name, "->", bad.owner.ToString());
  }
  return out;
}

class GraphTest : public testing::Test {
 protected:
  std::string Add(const KindName& kind, const Object& object) {
    return Told(graph_.Seen(kind, nullptr, object.meta()));
  }
  std::string Change(const KindName& kind, const Object& before, const Object& after) {
    return Told(graph_.Seen(kind, &before.meta(), after.meta()));
  }
  std::string Gone(const KindName& kind, const Object& object) {
    return Told(graph_.Gone(kind, object.meta()));
  }
  bool IsVirtual(const std::string& uid) { return graph_.Look(uid)->is_virtual; }

  OwnerGraph graph_;
};

TEST_F(GraphTest, OwnersFirstNeedNoLook) {
  EXPECT_EQ(Add(kSet, Object("web")), "");
  EXPECT_EQ(Add(kPod, Object("a").OwnedBy(kSet, "web")), "");
  EXPECT_EQ(graph_.Look("u-web")->dependents, 1u);
  EXPECT_FALSE(IsVirtual("u-web"));
}

TEST_F(GraphTest, AnOwnerThatWasNotSeenIsLookedForOnce) {
  EXPECT_EQ(Add(kPod, Object("a").OwnedBy(kSet, "web")), "check u-web");
  EXPECT_TRUE(IsVirtual("u-web"));
  EXPECT_EQ(Add(kPod, Object("b").OwnedBy(kSet, "web")), "");
  EXPECT_EQ(Add(kSet, Object("web")), "");
  EXPECT_FALSE(IsVirtual("u-web"));
  EXPECT_FALSE(graph_.Look("u-web")->check);
}

TEST_F(GraphTest, AnAbsentOwnerLeavesItsDependentsToCheck) {
  Add(kPod, Object("a").OwnedBy(kSet, "web"));
  Add(kPod, Object("b").OwnedBy(kSet, "web"));
  const Identity web{kSet, "default", "web", "u-web"};
  EXPECT_EQ(Told(graph_.Absent(web)), "check u-a u-b");
  EXPECT_FALSE(graph_.Look("u-web").has_value());
  EXPECT_TRUE(graph_.IsAbsent(web));
  EXPECT_TRUE(graph_.Look("u-a")->check);
}

TEST_F(GraphTest, AnOwnerThatGoesLeavesItsDependentsToCheck) {
  Add(kSet, Object("web"));
  Add(kPod, Object("a").OwnedBy(kSet, "web"));
  EXPECT_EQ(Gone(kSet, Object("web")), "check u-a");
  EXPECT_TRUE(graph_.IsAbsent({kSet, "default", "web", "u-web"}));
  EXPECT_EQ(Gone(kPod, Object("a")), "");
  EXPECT_EQ(graph_.size(), 0u);
}

TEST_F(GraphTest, AnOwnerOfAnotherNamespaceIsNone) {
  const std::string bad = " bad a->[apps/v1/ReplicaSet, namespace: default, name: web, uid: u-web]";
  Add(kSet, Object("web", "other"));
  EXPECT_EQ(Add(kPod, Object("a").OwnedBy(kSet, "web")), absl::StrCat("check u-a", bad));
  // The same when the dependent was seen first.
  OwnerGraph later;
  EXPECT_EQ(Told(later.Seen(kPod, nullptr, Object("a").OwnedBy(kSet, "web").meta())),
            "check u-web");
  EXPECT_EQ(Told(later.Seen(kSet, nullptr, Object("web", "other").meta())),
            absl::StrCat("check u-a", bad));
}

TEST_F(GraphTest, AClusterScopedOwnerIsGoodForAllNamespaces) {
  Add(kNode, Object("n1", ""));
  EXPECT_EQ(Add(kPod, Object("a").OwnedBy(kNode, "n1")), "");
  EXPECT_EQ(Add(kPod, Object("b", "other").OwnedBy(kNode, "n1")), "");
  // Seen last: virtual nodes take the namespace of a dependent, which is no contradiction.
  OwnerGraph later;
  Told(later.Seen(kPod, nullptr, Object("a").OwnedBy(kNode, "n1").meta()));
  EXPECT_EQ(Told(later.Seen(kNode, nullptr, Object("n1", "").meta())), "");
  EXPECT_EQ(later.Look("u-n1")->identity.ns, "");
}

TEST_F(GraphTest, ReferencesThatDisagreeAreTriedInTurn) {
  Add(kPod, Object("a").OwnedBy(kSet, "web"));
  EXPECT_EQ(Add(kPod, Object("b").OwnedBy(kSet, "wob", false, "u-web")), "check u-b");
  const Identity web{kSet, "default", "web", "u-web"};
  // That one is absent; but it may be the other one.
  EXPECT_EQ(Told(graph_.Absent(web)), "check u-alate u-web");
  EXPECT_EQ(graph_.Look("u-web")->identity.name, "wob");
  // It was; who named it wrongly is on its way to be checked already.
  ObjectMeta wob = Object("wob").meta();
  wob.set_uid("u-web");
  EXPECT_EQ(Told(graph_.Seen(kSet, nullptr, wob)), "");
  // What was seen is not removed by what is said of another one.
  EXPECT_EQ(Told(graph_.Absent(web)), "check u-a");
  EXPECT_TRUE(graph_.Look("u-web").has_value());
}

TEST_F(GraphTest, ForegroundDeletionChecksDependentsAndWaits) {
  Add(kSet, Object("web"));
  Add(kPod, Object("a").OwnedBy(kSet, "web", true));
  Add(kPod, Object("b").OwnedBy(kSet, "web"));
  EXPECT_EQ(Change(kSet, Object("web"), Object("web").Deleted("foregroundDeletion")),
            "check u-a u-b u-web");
  ASSERT_EQ(graph_.BlockingDependents("u-web").size(), 1u);
  EXPECT_EQ(graph_.BlockingDependents("u-web")[0].uid, "u-a");
  EXPECT_TRUE(graph_.Look("u-web")->waits_for_dependents);
  EXPECT_EQ(Gone(kPod, Object("a")), "check u-web");
  EXPECT_TRUE(graph_.BlockingDependents("u-web").empty());
}

TEST_F(GraphTest, ADependentThatBlocksNoLongerFreesItsOwner) {
  Add(kSet, Object("web"));
  const Object blocks = Object("a").OwnedBy(kSet, "web", true);
  Add(kPod, blocks);
  EXPECT_EQ(Change(kPod, blocks, Object("a").OwnedBy(kSet, "web")), "check u-web");
  Change(kPod, Object("a").OwnedBy(kSet, "web"), blocks);
  EXPECT_EQ(Change(kPod, blocks, Object("a")), "check u-web");
  EXPECT_EQ(graph_.Look("u-web")->dependents, 0u);
}

TEST_F(GraphTest, NothingWaitsForItself) {
  Add(kSet, Object("web").OwnedBy(kSet, "web", true).Deleted("foregroundDeletion"));
  EXPECT_TRUE(graph_.BlockingDependents("u-web").empty());
  Gone(kSet, Object("web"));
  EXPECT_EQ(graph_.size(), 0u);
}

TEST_F(GraphTest, OrphaningIsForTheOtherQueue) {
  Add(kSet, Object("web"));
  Add(kPod, Object("a").OwnedBy(kSet, "web"));
  EXPECT_EQ(Change(kSet, Object("web"), Object("web").Deleted("orphan")), "orphan u-web");
  EXPECT_EQ(Change(kSet, Object("web").Deleted("orphan"), Object("web").Deleted("orphan")), "");
  // After a restart all that is under way is taken up again.
  OwnerGraph again;
  EXPECT_EQ(Told(again.Seen(kSet, nullptr, Object("web").Deleted("orphan").meta())),
            "orphan u-web");
}

TEST_F(GraphTest, AKindThatIsNotWatchedAnyMoreIsNotTakenForGone) {
  Add(kSet, Object("web"));
  Add(kSet, Object("lone"));
  Add(kPod, Object("a").OwnedBy(kSet, "web"));
  EXPECT_EQ(Told(graph_.Forget(kSet)), "late u-web");
  EXPECT_TRUE(IsVirtual("u-web"));
  EXPECT_FALSE(graph_.Look("u-lone").has_value());
  EXPECT_FALSE(graph_.IsAbsent({kSet, "default", "web", "u-web"}));
  EXPECT_EQ(Add(kSet, Object("web")), "");
  EXPECT_FALSE(IsVirtual("u-web"));
}

TEST_F(GraphTest, UndecidedOnesAreFoundAgain) {
  Add(kPod, Object("a").OwnedBy(kSet, "web"));
  EXPECT_EQ(graph_.CountPutOff("u-web"), 0);
  EXPECT_EQ(graph_.CountPutOff("u-web"), 1);
  EXPECT_EQ(graph_.Undecided(), std::vector<std::string>{"u-web"});
  EXPECT_TRUE(graph_.Undecided().empty());
}

TEST(IdentityCacheTest, KeepsTheLastOnes) {
  IdentityCache cache(2);
  const Identity a{kPod, "", "a", "1"}, b{kPod, "", "b", "2"}, c{kPod, "", "c", "3"};
  cache.Add(a);
  cache.Add(b);
  EXPECT_TRUE(cache.Has(a));
  cache.Add(c);
  EXPECT_TRUE(cache.Has(a));
  EXPECT_FALSE(cache.Has(b));
}

}  // namespace
}  // namespace meltemi::controllers
