#include "orchestrator/controllers/runtime/expectations.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "base/clock/clock_fake.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Pod;

// Shows what the test puts into it.
class Shown final : public kube::Informer {
 public:
  void Put(const Pod& pod, int64_t revision) {
    pods_[{pod.metadata().namespace_(), pod.metadata().name()}] = std::make_shared<Pod>(pod);
    revision_ = revision;
  }
  void Remove(const Pod& pod, int64_t revision) {
    pods_.erase({pod.metadata().namespace_(), pod.metadata().name()});
    revision_ = revision;
  }

  const kube::ApiResource& resource() const override { return kube::ResourceOf<Pod>(); }
  void AddIndex(absl::string_view, kube::IndexFunction) override {}
  void AddHandler(std::function<void(const kube::Change&)>) override {}
  void SetTransform(kube::Transform) override {}
  bool synced() const override { return true; }
  int64_t revision() const override { return revision_; }
  kube::MessagePtr GetMessage(absl::string_view ns, absl::string_view name) const override {
    const auto found = pods_.find({std::string(ns), std::string(name)});
    return found == pods_.end() ? nullptr : found->second;
  }
  std::vector<kube::MessagePtr> ListMessages(absl::string_view) const override { return {}; }
  std::vector<kube::MessagePtr> IndexedMessages(absl::string_view,
                                                absl::string_view) const override {
    return {};
  }
  size_t size() const override { return pods_.size(); }

 private:
  std::map<kube::NamespacedName, kube::MessagePtr> pods_;
  int64_t revision_ = 10;
};

Pod MakePod(const std::string& name, const std::string& uid) {
  Pod pod;
  pod.mutable_metadata()->set_namespace_("default");
  pod.mutable_metadata()->set_name(name);
  pod.mutable_metadata()->set_uid(uid);
  return pod;
}

class ExpectationsTest : public testing::Test {
 protected:
  const kube::NamespacedName owner_{"default", "web"};
  FakeClock clock_;
  Shown informer_;
  Expectations expectations_{clock_};
};

TEST_F(ExpectationsTest, NothingIsExpectedAtFirst) {
  EXPECT_TRUE(expectations_.Met(owner_, informer_));
}

TEST_F(ExpectationsTest, ACreatedObjectIsWaitedForByItsRevision) {
  expectations_.ExpectRevision(owner_, "12");
  expectations_.ExpectRevision(owner_, "11");
  EXPECT_FALSE(expectations_.Met(owner_, informer_));
  EXPECT_TRUE(expectations_.Met({"default", "other"}, informer_));
  informer_.Put(MakePod("a", "1"), 11);
  EXPECT_FALSE(expectations_.Met(owner_, informer_));
  informer_.Put(MakePod("b", "2"), 12);
  EXPECT_TRUE(expectations_.Met(owner_, informer_));
}

TEST_F(ExpectationsTest, ARevisionThatIsNoNumberIsNotWaitedFor) {
  expectations_.ExpectRevision(owner_, "v1:abc");
  EXPECT_TRUE(expectations_.Met(owner_, informer_));
}

TEST_F(ExpectationsTest, ADeletedObjectIsWaitedForUntilItHasADeletionTimestamp) {
  Pod pod = MakePod("a", "1");
  informer_.Put(pod, 11);
  expectations_.ExpectGone(owner_, pod);
  EXPECT_FALSE(expectations_.Met(owner_, informer_));
  pod.mutable_metadata()->mutable_deletion_timestamp()->set_seconds(1);
  informer_.Put(pod, 12);
  EXPECT_TRUE(expectations_.Met(owner_, informer_));
}

TEST_F(ExpectationsTest, ADeletionThatIsSeenBeforeItIsExpectedIsNotWaitedFor) {
  const Pod pod = MakePod("a", "1");
  informer_.Put(pod, 11);
  informer_.Remove(pod, 12);
  expectations_.ExpectGone(owner_, pod);
  EXPECT_TRUE(expectations_.Met(owner_, informer_));
}

TEST_F(ExpectationsTest, AnotherObjectOfThatNameMeansThatItIsGone) {
  expectations_.ExpectGone(owner_, MakePod("a", "1"));
  informer_.Put(MakePod("a", "2"), 12);
  EXPECT_TRUE(expectations_.Met(owner_, informer_));
}

TEST_F(ExpectationsTest, AFailedDeletionAndADroppedOwnerAreForgotten) {
  const Pod pod = MakePod("a", "1");
  informer_.Put(pod, 11);
  expectations_.ExpectGone(owner_, pod);
  expectations_.Forget(owner_, pod);
  EXPECT_TRUE(expectations_.Met(owner_, informer_));
  expectations_.ExpectRevision(owner_, "99");
  expectations_.Drop(owner_);
  EXPECT_TRUE(expectations_.Met(owner_, informer_));
}

TEST_F(ExpectationsTest, AfterFiveMinutesTheyAreGivenUp) {
  expectations_.ExpectRevision(owner_, "99");
  clock_.Advance(minutes(5) - seconds(1));
  EXPECT_FALSE(expectations_.Met(owner_, informer_));
  clock_.Advance(seconds(1));
  EXPECT_TRUE(expectations_.Met(owner_, informer_));
}

}  // namespace
}  // namespace meltemi::controllers
