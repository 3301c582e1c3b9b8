#include "pilot/leader/leadership.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/loop/loop_fake.h"
#include "kube/client/client_fake.h"
#include "kube/codec/codec.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/executor/executor_fake.h"

namespace meltemi::pilot {
namespace {

using kube::coordination::v1::Lease;

// A server of one Lease, and replicas of pilot.
class LeadershipTest : public testing::Test {
 protected:
  struct Replica {
    kube::ClientFake client;
    bool cut_off = false;
    std::string told;
    std::unique_ptr<Leadership> leadership;
  };

  LeadershipTest() : loop_(executor_.fake_clock()) {}

  Replica& Start(const std::string& identity) {
    Replica& replica = *replicas_.emplace_back(std::make_unique<Replica>());
    replica.client.on_call = [this, &replica](const kube::ApiCall& call) {
      if (replica.cut_off)
        return kube::Result<kube::ApiAnswer>(kube::GenericStatus(503, "cut off"));
      return Serve(call);
    };
    replica.leadership =
        StartLeadership(loop_, replica.client, executor_, {.identity = identity},
                        [&replica](bool leading) { replica.told += leading ? "+" : "-"; });
    Wait(milliseconds(100));
    return replica;
  }
  kube::Result<kube::ApiAnswer> Serve(const kube::ApiCall& call) {
    EXPECT_TRUE(absl::StrContains(call.path, "/namespaces/istio-system/leases"));
    Lease lease;
    if (call.method == "GET" && version_ == 0) return kube::NotFound({"", "leases"}, "x");
    if (call.method == "GET") return kube::ApiAnswer{.body = kube::ToJson(lease_)};
    EXPECT_TRUE(kube::FromJson(call.body, &lease).ok());
    if (call.method == "PUT" && lease.metadata().resource_version() != absl::StrCat(version_)) {
      return kube::ModifiedConflict({"", "leases"}, "x");
    }
    lease.mutable_metadata()->set_resource_version(absl::StrCat(++version_));
    lease_ = lease;
    return kube::ApiAnswer{.body = kube::ToJson(lease_)};
  }
  void Wait(Duration by) {
    for (Duration done = Duration(); done < by; done += milliseconds(100)) {
      executor_.Advance(milliseconds(100));
      loop_.RunPending();
    }
  }

  kube::ExecutorFake executor_;
  FakeLoop loop_;
  Lease lease_;
  int version_ = 0;
  std::vector<std::unique_ptr<Replica>> replicas_;
};

TEST_F(LeadershipTest, OneReplicaLeadsAndHandsOverWhenItEnds) {
  Replica& a = Start("pilot-a");
  Replica& b = Start("pilot-b");
  EXPECT_EQ(a.told, "+");
  EXPECT_TRUE(a.leadership->leading());
  Wait(minutes(1));
  EXPECT_EQ(b.told, "");
  a.leadership = nullptr;
  Wait(seconds(6));
  EXPECT_EQ(b.told, "+");
  EXPECT_EQ(lease_.spec().holder_identity(), "pilot-b");
}

TEST_F(LeadershipTest, AReplicaThatLosesTheLeaseStaysInTheRace) {
  Replica& a = Start("pilot-a");
  Replica& b = Start("pilot-b");
  a.cut_off = true;
  Wait(seconds(40));
  EXPECT_EQ(a.told, "+-");
  EXPECT_EQ(b.told, "+");
  a.cut_off = false;
  Wait(seconds(10));
  b.cut_off = true;
  Wait(seconds(40));
  EXPECT_EQ(b.told, "+-");
  EXPECT_EQ(a.told, "+-+");
}

}  // namespace
}  // namespace meltemi::pilot
