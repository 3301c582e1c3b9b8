#include "kube/leader/leader.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/client/client_fake.h"
#include "kube/codec/codec.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/executor/executor_fake.h"

namespace meltemi::kube {
namespace {

using coordination::v1::Lease;

// A server of one Lease, and candidates.
class LeaderTest : public testing::Test {
 protected:
  struct CandidateFake {
    int leading = 0, lost = 0;
    std::unique_ptr<ClientFake> client = std::make_unique<ClientFake>();
    bool cut_off = false;
    std::unique_ptr<LeaderElection> election;
  };

  CandidateFake& Start(const std::string& identity) {
    candidates_.push_back(std::make_unique<CandidateFake>());
    CandidateFake& candidate = *candidates_.back();
    candidate.client->on_call = [this, &candidate](const ApiCall& call) -> Result<ApiAnswer> {
      if (candidate.cut_off) {
        executor_.fake_clock().Advance(call.timeout);
        return GenericStatus(503, "cut off");
      }
      return Serve(call);
    };
    candidate.election = StartLeaderElection(
        *candidate.client, executor_, {.lease = "the-lease", .identity = identity},
        [&] { ++candidate.leading; }, [&] { ++candidate.lost; });
    executor_.Advance(Duration::zero());
    return candidate;
  }

  Result<ApiAnswer> Serve(const ApiCall& call) {
    if (down_) return GenericStatus(503, "down");
    Lease lease;
    if (call.method == "GET" && version_ == 0) return NotFound({"", "leases"}, "the-lease");
    if (call.method == "GET") return ApiAnswer{.body = ToJson(lease_)};
    EXPECT_TRUE(FromJson(call.body, &lease).ok());
    if (call.method == "POST" && version_ != 0) return AlreadyExists({"", "leases"}, "the-lease");
    if (call.method == "PUT" && lease.metadata().resource_version() != absl::StrCat(version_)) {
      return ModifiedConflict({"", "leases"}, "the-lease");
    }
    lease.mutable_metadata()->set_resource_version(absl::StrCat(++version_));
    lease_ = lease;
    return ApiAnswer{.body = ToJson(lease_)};
  }

  int Leading() const {
    int out = 0;
    for (const auto& candidate : candidates_) {
      if (candidate->election != nullptr && candidate->election->leading()) ++out;
    }
    return out;
  }

  ExecutorFake executor_;
  Lease lease_;
  int version_ = 0;
  bool down_ = false;
  std::vector<std::unique_ptr<CandidateFake>> candidates_;
};

TEST_F(LeaderTest, TheFirstLeadsAndTheOthersWait) {
  CandidateFake& a = Start("a");
  EXPECT_EQ(a.leading, 1);
  EXPECT_EQ(lease_.spec().holder_identity(), "a");
  EXPECT_EQ(lease_.spec().lease_duration_seconds(), 15);
  EXPECT_EQ(lease_.spec().lease_transitions(), 0);
  CandidateFake& b = Start("b");
  executor_.Advance(minutes(5));
  EXPECT_EQ(b.leading, 0);
  EXPECT_EQ(b.election->leader(), "a");
  EXPECT_EQ(Leading(), 1);
  EXPECT_GT(version_, 100);  // renewed every two seconds
}

TEST_F(LeaderTest, ALeaderThatDiesIsFollowedWithinTheLease) {
  CandidateFake& a = Start("a");
  CandidateFake& b = Start("b");
  executor_.Advance(seconds(20));
  a.cut_off = true;  // so that it can't give the lease back
  a.election.reset();
  executor_.Advance(seconds(12));
  EXPECT_EQ(b.leading, 0);
  executor_.Advance(seconds(8));
  EXPECT_EQ(b.leading, 1);
  EXPECT_EQ(lease_.spec().lease_transitions(), 1);
}

TEST_F(LeaderTest, ALeaderThatGoesGivesTheLeaseBack) {
  CandidateFake& a = Start("a");
  CandidateFake& b = Start("b");
  executor_.Advance(seconds(20));
  a.election.reset();
  EXPECT_EQ(lease_.spec().holder_identity(), "");
  executor_.Advance(seconds(5));
  EXPECT_EQ(b.leading, 1);
}

TEST_F(LeaderTest, ALeaderThatCannotRenewStepsDownBeforeTheNextOneLeads) {
  CandidateFake& a = Start("a");
  executor_.Advance(seconds(20));
  a.cut_off = true;
  const MonotonicTime begin = executor_.clock().Now();
  while (a.lost == 0)
    ASSERT_TRUE(executor_.RunOne() || executor_.AdvanceToNext(begin + minutes(1)));
  EXPECT_LE(executor_.clock().Now() - begin, seconds(13));
  EXPECT_FALSE(a.election->leading());
  executor_.Advance(minutes(1));
  EXPECT_EQ(a.lost, 1);
  EXPECT_EQ(a.leading, 1);
}

TEST_F(LeaderTest, ALeaderWhoseLeaseWasTakenStepsDownAtOnce) {
  CandidateFake& a = Start("a");
  lease_.mutable_spec()->set_holder_identity("thief");
  lease_.mutable_metadata()->set_resource_version(absl::StrCat(++version_));
  executor_.Advance(seconds(3));
  EXPECT_EQ(a.lost, 1);
}

TEST_F(LeaderTest, AConflictIsNoLoss) {
  CandidateFake& a = Start("a");
  for (int i = 0; i < 10; ++i) {
    (*lease_.mutable_metadata()->mutable_labels())["x"] = absl::StrCat(i);
    lease_.mutable_metadata()->set_resource_version(absl::StrCat(++version_));
    executor_.Advance(seconds(2));
  }
  EXPECT_EQ(a.lost, 0);
  EXPECT_TRUE(a.election->leading());
}

TEST_F(LeaderTest, AShortInterruptionDoesNoHarm) {
  CandidateFake& a = Start("a");
  for (int i = 0; i < 5; ++i) {
    executor_.Advance(seconds(7));
    down_ = true;
    executor_.Advance(seconds(7));
    down_ = false;
  }
  EXPECT_EQ(a.lost, 0);
}

TEST_F(LeaderTest, OfTwoWhoComeAtOnceOneLeads) {
  down_ = true;
  CandidateFake& a = Start("a");
  CandidateFake& b = Start("b");
  down_ = false;
  executor_.Advance(minutes(1));
  EXPECT_EQ(a.leading + b.leading, 1);
}

TEST_F(LeaderTest, NoCallbackFollowsTheEnd) {
  down_ = true;
  CandidateFake& a = Start("a");
  down_ = false;
  a.election.reset();
  executor_.Advance(minutes(1));
  EXPECT_EQ(a.leading, 0);
  EXPECT_EQ(version_, 0);
}

TEST_F(LeaderTest, NeverMoreThanOne) {
  for (const char* name : {"a", "b", "c"}) Start(name);
  for (int round = 0; round < 200; ++round) {
    candidates_[static_cast<size_t>(round) % 3]->cut_off = round % 7 < 4;
    executor_.Advance(seconds(5));
    ASSERT_LE(Leading(), 1);
  }
}

}  // namespace
}  // namespace meltemi::kube
