#include "orchestrator/controllers/nodes/ipam/ipam.h"

#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "kube/core/v1/node.pb.h"
#include "orchestrator/controllers/nodes/ipam/cidr_set.h"
#include "orchestrator/controllers/runtime/testing/world.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Node;

TEST(CidrSetTest, GivesOutPartsInTurn) {
  absl::StatusOr<CidrSet> set = CidrSet::Create("10.244.0.0/22", 24);
  ASSERT_TRUE(set.ok());
  EXPECT_TRUE(set->Occupy("10.244.1.0/24", "b"));
  EXPECT_FALSE(set->Occupy("10.244.1.0/24", "c"));
  EXPECT_FALSE(set->Occupy("10.9.0.0/24", "c"));
  EXPECT_FALSE(set->Occupy("10.244.0.0/25", "c"));
  EXPECT_EQ(set->Take("a"), "10.244.0.0/24");
  EXPECT_EQ(set->Take("c"), "10.244.2.0/24");
  set->Release("10.244.0.0/24", "not a");
  EXPECT_EQ(set->Take("d"), "10.244.3.0/24");
  EXPECT_EQ(set->Take("e"), std::nullopt);
  set->Release("10.244.0.0/24", "a");
  EXPECT_EQ(set->Take("e"), "10.244.0.0/24");
}

TEST(CidrSetTest, KnowsBothFamilies) {
  absl::StatusOr<CidrSet> set = CidrSet::Create("fd00:10:244::/56", 64);
  ASSERT_TRUE(set.ok());
  EXPECT_EQ(set->Take("a"), "fd00:10:244::/64");
  EXPECT_EQ(set->Take("b"), "fd00:10:244:1::/64");
  EXPECT_FALSE(CidrSet::Create("10.0.0.0/8", 32).ok());
  EXPECT_FALSE(CidrSet::Create("10.0.0.0/24", 16).ok());
  EXPECT_FALSE(CidrSet::Create("10.0.0/24", 26).ok());
  EXPECT_FALSE(CidrSet::Create("10.0.0.0", 26).ok());
}

class IpamTest : public testing::Test {
 protected:
  static std::unique_ptr<Running> Make(Context& context) {
    return *NewNodeIpamController(context, {.cluster_cidrs = {"10.244.0.0/22"}});
  }
  std::string CidrOf(absl::string_view node) {
    return world_.Get<Node>(node, "").spec().pod_cidr();
  }
  World world_;
};

TEST_F(IpamTest, EachNodeHasARangeOfItsOwn) {
  world_.AddNode("a");
  world_.Run(Make(world_.context()));
  EXPECT_EQ(CidrOf("a"), "10.244.0.0/24");
  world_.AddNode("b");
  world_.Settle();
  EXPECT_EQ(CidrOf("b"), "10.244.1.0/24");
  EXPECT_EQ(world_.Get<Node>("b", "").spec().pod_cidrs(0), "10.244.1.0/24");
  world_.Restart(Make);
  world_.AddNode("c");
  world_.Settle();
  EXPECT_EQ(CidrOf("c"), "10.244.2.0/24");
}

TEST_F(IpamTest, WhenAllAreTakenANodeWaitsForOneToGo) {
  world_.Run(Make(world_.context()));
  for (const char* node : {"a", "b", "c", "d", "e"}) {
    world_.AddNode(node);
    world_.Settle();
  }
  EXPECT_EQ(CidrOf("e"), "");
  EXPECT_EQ(world_.Events().at(0),
            "Normal CIDRNotAvailable Node e status is now: CIDRNotAvailable");
  const size_t writes = world_.Writes();
  world_.Advance(minutes(10));
  EXPECT_EQ(world_.Writes(), writes);
  world_.Delete<Node>("b", {}, "");
  world_.Advance(minutes(6));
  EXPECT_EQ(CidrOf("e"), "10.244.1.0/24");
}

TEST_F(IpamTest, AnswersThatAreLostLoseNoRange) {
  world_.process().SetFate([n = 0](const kube::ApiCall& call) mutable {
    if (call.method != "PATCH") return apiserver::Fate::kPass;
    static constexpr apiserver::Fate kFates[] = {apiserver::Fate::kLoseAnswer,
                                                 apiserver::Fate::kRefuse, apiserver::Fate::kPass};
    return kFates[n++ % 3];
  });
  world_.Run(Make(world_.context()));
  for (const char* node : {"a", "b", "c", "d"}) world_.AddNode(node);
  world_.Settle();
  world_.Advance(minutes(1));
  std::set<std::string> all;
  for (const Node& node : world_.List<Node>()) all.insert(node.spec().pod_cidr());
  EXPECT_EQ(all, (std::set<std::string>{"10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24",
                                        "10.244.3.0/24"}));
}

TEST_F(IpamTest, RangesThatNodesBringAreRespected) {
  world_.Create<Node>(
      "{metadata: {name: own}, spec: {podCIDR: 10.244.0.0/24, podCIDRs: [10.244.0.0/24]}}");
  world_.Create<Node>(
      "{metadata: {name: far}, spec: {podCIDR: 192.168.0.0/24, podCIDRs: [192.168.0.0/24]}}");
  world_.AddNode("a");
  world_.Run(Make(world_.context()));
  EXPECT_EQ(CidrOf("a"), "10.244.1.0/24");
  EXPECT_EQ(CidrOf("far"), "192.168.0.0/24");
}

TEST_F(IpamTest, RangesThatCannotBeDividedAreRefused) {
  EXPECT_FALSE(NewNodeIpamController(world_.context(), {.cluster_cidrs = {"x"}}).ok());
  EXPECT_FALSE(NewNodeIpamController(world_.context(), {.cluster_cidrs = {}}).ok());
}

}  // namespace
}  // namespace meltemi::controllers
