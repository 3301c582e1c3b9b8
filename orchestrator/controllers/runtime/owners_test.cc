#include "orchestrator/controllers/runtime/owners.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "absl/strings/str_cat.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::controllers {
namespace {

using kube::apps::v1::ReplicaSet;
using kube::core::v1::Pod;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Notes what is patched, and answers as the test says.
class PatchLog final : public kube::Client {
 public:
  kube::Result<kube::ApiAnswer> Call(const kube::ApiCall& call) override {
    calls.push_back(absl::StrCat(call.method, " ", call.path, " ", call.body));
    if (code == 200) return kube::ApiAnswer{200, "{}"};
    return kube::GenericStatus(code, "no");
  }
  std::unique_ptr<kube::ApiWatch> Watch(const kube::ApiCall&, kube::WatchSink&) override {
    return nullptr;
  }
  std::vector<std::string> calls;
  int code = 200;
};

ReplicaSet Owner() {
  ReplicaSet set;
  set.mutable_metadata()->set_namespace_("default");
  set.mutable_metadata()->set_name("web");
  set.mutable_metadata()->set_uid("owner");
  (*set.mutable_spec()->mutable_selector()->mutable_match_labels())["app"] = "web";
  return set;
}

std::shared_ptr<Pod> PodOf(const std::string& name, const std::string& app,
                           const std::string& owner_uid) {
  auto pod = std::make_shared<Pod>();
  pod->mutable_metadata()->set_namespace_("default");
  pod->mutable_metadata()->set_name(name);
  pod->mutable_metadata()->set_uid(name + "-uid");
  (*pod->mutable_metadata()->mutable_labels())["app"] = app;
  if (!owner_uid.empty()) {
    kube::meta::v1::OwnerReference& reference = *pod->mutable_metadata()->add_owner_references();
    reference.set_uid(owner_uid);
    reference.set_controller(true);
  }
  return pod;
}

std::vector<std::string> Names(const kube::Result<std::vector<kube::MessagePtr>>& claimed) {
  std::vector<std::string> names;
  if (!claimed.ok()) return {"failed: " + claimed.status().message};
  for (const kube::MessagePtr& object : *claimed) names.push_back(kube::NameOf(*object).name);
  return names;
}

class ClaimTest : public testing::Test {
 protected:
  std::vector<std::string> Claimed(const std::vector<kube::MessagePtr>& controlled,
                                   const std::vector<kube::MessagePtr>& orphans) {
    const kube::LabelSelector selector = SelectorOf(&owner_.spec().selector());
    return Names(
        Claim({client_, owner_, selector, {}, [this] { return kube::Result<bool>(may_adopt_); }},
              controlled, orphans));
  }
  PatchLog client_;
  ReplicaSet owner_ = Owner();
  bool may_adopt_ = true;
};

TEST_F(ClaimTest, KeepsWhatMatchesWithoutACall) {
  EXPECT_THAT(Claimed({PodOf("a", "web", "owner")}, {}), ElementsAre("a"));
  EXPECT_THAT(client_.calls, IsEmpty());
}

TEST_F(ClaimTest, ReleasesWhatMatchesNoLonger) {
  EXPECT_THAT(Claimed({PodOf("a", "other", "owner")}, {}), IsEmpty());
  EXPECT_THAT(client_.calls, ElementsAre("PATCH /api/v1/namespaces/default/pods/a "
                                         R"({"metadata":{"uid":"a-uid","ownerReferences":[)"
                                         R"({"$patch":"delete","uid":"owner"}]}})"));
}

TEST_F(ClaimTest, AdoptsOrphansThatMatch) {
  EXPECT_THAT(Claimed({}, {PodOf("a", "web", ""), PodOf("b", "other", "")}), ElementsAre("a"));
  EXPECT_THAT(
      client_.calls,
      ElementsAre("PATCH /api/v1/namespaces/default/pods/a "
                  R"({"metadata":{"uid":"a-uid","ownerReferences":[{"apiVersion":"apps/v1",)"
                  R"("kind":"ReplicaSet","name":"web","uid":"owner","controller":true,)"
                  R"("blockOwnerDeletion":true}]}})"));
}

TEST_F(ClaimTest, DoesNotAdoptWhatIsBeingDeleted) {
  auto pod = PodOf("a", "web", "");
  pod->mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
  EXPECT_THAT(Claimed({}, {pod}), IsEmpty());
  EXPECT_THAT(client_.calls, IsEmpty());
}

TEST_F(ClaimTest, AnOwnerThatIsGoneByNowAdoptsNothing) {
  may_adopt_ = false;
  EXPECT_THAT(Claimed({PodOf("b", "web", "owner")}, {PodOf("a", "web", "")}), ElementsAre("b"));
  EXPECT_THAT(client_.calls, IsEmpty());
}

TEST_F(ClaimTest, AnOwnerThatIsBeingDeletedNeitherAdoptsNorReleases) {
  owner_.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
  EXPECT_THAT(
      Claimed({PodOf("b", "web", "owner"), PodOf("c", "x", "owner")}, {PodOf("a", "web", "")}),
      ElementsAre("b"));
  EXPECT_THAT(client_.calls, IsEmpty());
}

TEST_F(ClaimTest, WhatHasGoneMeanwhileIsNoFailure) {
  client_.code = 404;
  EXPECT_THAT(Claimed({PodOf("b", "x", "owner")}, {PodOf("a", "web", "")}), IsEmpty());
}

TEST_F(ClaimTest, AnyOtherAnswerIs) {
  client_.code = 500;
  EXPECT_THAT(Claimed({}, {PodOf("a", "web", "")}), ElementsAre(HasSubstr("failed")));
}

TEST(Owners, TheControllerIsTheReferenceThatSaysSo) {
  auto pod = PodOf("a", "web", "");
  pod->mutable_metadata()->add_owner_references()->set_uid("plain");
  EXPECT_EQ(ControllerOf(*pod), nullptr);
  EXPECT_THAT(OrphansByNamespace(*pod), ElementsAre("default"));
  EXPECT_THAT(ByController(*pod), IsEmpty());
  *pod->mutable_metadata()->add_owner_references() = ControllerReference(Owner());
  ASSERT_NE(ControllerOf(*pod), nullptr);
  EXPECT_EQ(ControllerOf(*pod)->kind(), "ReplicaSet");
  EXPECT_TRUE(IsControlledBy(*pod, Owner()));
  EXPECT_THAT(OrphansByNamespace(*pod), IsEmpty());
  EXPECT_THAT(ByController(*pod), ElementsAre("owner"));
}

TEST(Owners, SelectorsMatchByLabelsAndExpressions) {
  kube::meta::v1::LabelSelector selector;
  EXPECT_TRUE(Matches(SelectorOf(&selector), *PodOf("a", "web", "")));
  EXPECT_FALSE(Matches(SelectorOf(nullptr), *PodOf("a", "web", "")));
  auto& requirement = *selector.add_match_expressions();
  requirement.set_key("app");
  requirement.set_operator_("In");
  requirement.add_values("web");
  requirement.add_values("api");
  EXPECT_TRUE(Matches(SelectorOf(&selector), *PodOf("a", "api", "")));
  EXPECT_FALSE(Matches(SelectorOf(&selector), *PodOf("a", "db", "")));
  requirement.set_operator_("Bogus");
  EXPECT_FALSE(Matches(SelectorOf(&selector), *PodOf("a", "api", "")));
}

}  // namespace
}  // namespace meltemi::controllers
