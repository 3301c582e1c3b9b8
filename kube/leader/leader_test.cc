// Who leads, when, and what ends it: two candidates on one lease, under a simulated clock.
#include "kube/leader/leader.h"

#include <gtest/gtest.h>

#include <optional>

#include "absl/strings/str_cat.h"
#include "kube/client/client_fake.h"
#include "kube/client/typed.h"
#include "kube/codec/codec.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/executor/executor_fake.h"

namespace meltemi::kube {
namespace {

using coordination::v1::Lease;

// A server of one lease, with optimistic locking.
class OneLease {
 public:
  Result<ApiAnswer> Answer(const ApiCall& call) {
    if (down) {
      Status status = ServiceUnavailable("no way there");
      status.code = 0;
      return status;
    }
    if (call.method == "GET") {
      if (!lease) return NotFound({"coordination.k8s.io", "leases"}, "controllers");
      return ApiAnswer{200, ToJson(*lease)};
    }
    Lease sent;
    EXPECT_TRUE(FromJson(call.body, &sent).ok());
    if (call.method == "POST" && lease) return AlreadyExists({"", "leases"}, "controllers");
    if (call.method == "PUT" &&
        (!lease || sent.metadata().resource_version() != lease->metadata().resource_version())) {
      return ModifiedConflict({"", "leases"}, "controllers");
    }
    sent.mutable_metadata()->set_resource_version(absl::StrCat(++revision_));
    lease = sent;
    return ApiAnswer{200, ToJson(*lease)};
  }
  std::string holder() const { return lease ? lease->spec().holder_identity() : "-"; }

  std::optional<Lease> lease;
  bool down = false;

 private:
  int revision_ = 10;
};

class LeaderTest : public testing::Test {
 protected:
  struct Candidate {
    bool leads = false, lost = false;
    std::unique_ptr<LeaderElection> election;
  };

  LeaderTest() {
    for (ClientFake* client : {&client_a_, &client_b_}) {
      client->on_call = [this](const ApiCall& call) { return server_.Answer(call); };
    }
  }
  void Stand(Candidate& candidate, ClientFake& client, const std::string& identity) {
    LeaderOptions options;
    options.lease = "controllers";
    options.identity = identity;
    candidate.election = StartLeaderElection(
        client, executor_, options, [&candidate] { candidate.leads = true; },
        [&candidate] { candidate.lost = true; });
  }

  ExecutorFake executor_;
  OneLease server_;
  ClientFake client_a_, client_b_;
  Candidate a_, b_;
};

TEST_F(LeaderTest, TheFirstOneLeadsAndTheOtherWaits) {
  Stand(a_, client_a_, "a");
  executor_.RunReady();
  Stand(b_, client_b_, "b");
  executor_.Advance(minutes(5));
  EXPECT_TRUE(a_.leads && a_.election->leading());
  EXPECT_FALSE(b_.leads || a_.lost);
  EXPECT_EQ(b_.election->leader(), "a");
  EXPECT_EQ(server_.lease->spec().lease_duration_seconds(), 15);
  EXPECT_EQ(server_.lease->spec().lease_transitions(), 0);
}

TEST_F(LeaderTest, WhoStepsDownGivesTheLeaseBack) {
  Stand(a_, client_a_, "a");
  executor_.RunReady();
  Stand(b_, client_b_, "b");
  executor_.Advance(seconds(10));
  a_.election.reset();
  EXPECT_EQ(server_.holder(), "");
  // A retry period with all of its jitter.
  executor_.Advance(seconds(5));
  EXPECT_TRUE(b_.leads);
  EXPECT_EQ(server_.lease->spec().lease_transitions(), 1);
}

TEST_F(LeaderTest, TheDeadAreFollowedAfterTheLeaseHasRunOut) {
  Stand(a_, client_a_, "a");
  executor_.RunReady();
  Stand(b_, client_b_, "b");
  executor_.Advance(seconds(10));
  client_a_.on_call = [](const ApiCall&) -> Result<ApiAnswer> { return Timeout("dead", 0); };
  // Its last renewal was at most a retry period ago.
  executor_.Advance(seconds(12));
  EXPECT_FALSE(b_.leads);
  EXPECT_TRUE(a_.lost) << "before anybody else may lead";
  EXPECT_FALSE(a_.election->leading());
  executor_.Advance(seconds(9));
  EXPECT_TRUE(b_.leads);
  EXPECT_EQ(server_.holder(), "b");
}

TEST_F(LeaderTest, ALeaderWithoutItsServerStepsDownOnceAndForGood) {
  Stand(a_, client_a_, "a");
  executor_.Advance(seconds(10));
  server_.down = true;
  executor_.Advance(seconds(9));
  EXPECT_FALSE(a_.lost);
  executor_.Advance(seconds(2));
  EXPECT_TRUE(a_.lost);
  a_.lost = a_.leads = false;
  server_.down = false;
  executor_.Advance(minutes(5));
  EXPECT_FALSE(a_.lost || a_.leads || a_.election->leading());
}

TEST_F(LeaderTest, AShortInterruptionDoesNoHarm) {
  Stand(a_, client_a_, "a");
  executor_.Advance(seconds(10));
  for (int i = 0; i < 5; ++i) {
    server_.down = true;
    executor_.Advance(seconds(7));
    server_.down = false;
    executor_.Advance(seconds(7));
  }
  EXPECT_FALSE(a_.lost);
}

TEST_F(LeaderTest, OfTwoWhoComeAtOnceOneLeads) {
  Stand(a_, client_a_, "a");
  Stand(b_, client_b_, "b");
  executor_.Advance(minutes(1));
  EXPECT_NE(a_.leads, b_.leads);
}

TEST_F(LeaderTest, NoCallbackFollowsTheEnd) {
  Stand(a_, client_a_, "a");
  a_.election.reset();
  executor_.Advance(minutes(1));
  EXPECT_FALSE(a_.leads);
}

}  // namespace
}  // namespace meltemi::kube
