#include "orchestrator/scheduler/queue/nominated.h"

#include <string>

#include "gtest/gtest.h"
#include "orchestrator/scheduler/model/snapshot_builder.h"

namespace meltemi::scheduler {
namespace {

PodInfoPtr Pod(const std::string& name, const std::string& nominated = "") {
  kube::core::v1::Pod pod = *MakePod(name);
  pod.mutable_status()->set_nominated_node_name(nominated);
  return MakePodInfo(std::make_shared<const kube::core::v1::Pod>(std::move(pod)));
}

TEST(NominatedTest, ByNodeInOrder) {
  Nominated nominated;
  EXPECT_TRUE(nominated.empty());
  nominated.Set(Pod("p"), "a");
  nominated.Set(Pod("q"), "a");
  EXPECT_FALSE(nominated.empty());
  ASSERT_EQ(nominated.On("a").size(), 2u);
  EXPECT_EQ(nominated.On("a")[0]->key.name, "p");
  nominated.Set(Pod("p"), "b");
  EXPECT_EQ(nominated.On("a").size(), 1u);
  EXPECT_EQ(nominated.NodeOf(Pod("p")->uid), "b");
  nominated.Set(Pod("p"), "");
  nominated.Remove(Pod("q")->uid);
  EXPECT_TRUE(nominated.empty());
  EXPECT_TRUE(nominated.On("a").empty());
}

TEST(NominatedTest, AnOlderVersionTakesNothingAway) {
  Nominated nominated;
  nominated.Set(Pod("p"), "a");
  nominated.Observe(false, Pod("p"));  // its condition was written before
  EXPECT_EQ(nominated.NodeOf(Pod("p")->uid), "a");
  nominated.Observe(false, Pod("p", "a"));
  EXPECT_EQ(nominated.NodeOf(Pod("p")->uid), "a");
  nominated.Observe(true, Pod("p"));  // somebody has cleared it
  EXPECT_EQ(nominated.NodeOf(Pod("p")->uid), "");
  nominated.Observe(false, Pod("q"));
  EXPECT_TRUE(nominated.empty());
}

}  // namespace
}  // namespace meltemi::scheduler
