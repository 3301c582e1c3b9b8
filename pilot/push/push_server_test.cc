// What one proxy may cost: one that never answers, does not read, asks without end, names very
// much or refuses everything is bounded and counted, and the others are served as if it were not
// there.
#include "pilot/push/push_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/loop/loop_fake.h"
#include "base/metrics/metrics.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "google/protobuf/struct.pb.h"
#include "google/rpc/status.pb.h"
#include "pilot/push/caller.h"
#include "pilot/snapshot/mesh_fake.h"
#include "pilot/translate/scope_class.h"

namespace meltemi::pilot {
namespace {

using ::envoy::service::discovery::v3::DeltaDiscoveryRequest;
using ::envoy::service::discovery::v3::DeltaDiscoveryResponse;
using ::testing::HasSubstr;

constexpr char kWeb[] = R"(
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
)";
constexpr char kCluster[] = "outbound|80||web.default.svc.cluster.local";

std::string Pod(int address) {
  return absl::StrCat(
      "{apiVersion: networking.istio.io/v1, kind: WorkloadEntry, metadata: {name: w}, spec: "
      "{address: 10.7.",
      address / 250, ".", address % 250 + 1, ", labels: {app: web}}}");
}

enum class Manners { kAnswers, kNeverAnswers, kRefuses, kDoesNotRead };

// A proxy at the other end, incremental; it acts in the loop's next turn.
class Proxy final : public Peer {
 public:
  Proxy(PushServer* server, Loop* loop, std::string name, Manners manners)
      : server_(*server), loop_(*loop), name_(std::move(name)), manners_(manners) {
    id_ = server_.OnConnected(this);
  }
  ~Proxy() override { server_.OnClosed(id_); }

  Duration Say(DeltaDiscoveryRequest request) {
    request.mutable_node()->set_id(
        absl::StrCat("sidecar~10.1.0.1~", name_, ".default~default.svc.cluster.local"));
    return server_.OnRequest(id_, request);
  }
  Duration Ask(XdsType type, const std::vector<std::string>& names = {},
               const std::vector<std::string>& dropped = {}) {
    DeltaDiscoveryRequest request;
    request.set_type_url(std::string(XdsTypeUrl(type)));
    for (const std::string& name : names) request.add_resource_names_subscribe(name);
    for (const std::string& name : dropped) request.add_resource_names_unsubscribe(name);
    return Say(std::move(request));
  }
  void AskForAll() {
    Ask(XdsType::kCluster);
    Ask(XdsType::kEndpoint, {kCluster});
    Ask(XdsType::kListener);
    Ask(XdsType::kRoute, {"80"});
  }

  // --- Peer
  void Write(Message message) override {
    DeltaDiscoveryResponse response;
    ASSERT_TRUE(response.ParseFromString(message.ToString()));
    ++responses[response.type_url()];
    for (const auto& resource : response.resources()) {
      versions[resource.name()] = resource.version();
    }
    removed += response.removed_resources_size();
    if (manners_ == Manners::kDoesNotRead) return;
    DeltaDiscoveryRequest answer;
    answer.set_type_url(response.type_url());
    answer.set_response_nonce(response.nonce());
    if (manners_ == Manners::kRefuses) answer.mutable_error_detail()->set_message("not with me");
    loop_.Post([this, answer] {
      server_.OnWritten(id_);
      if (manners_ != Manners::kNeverAnswers) Say(answer);
    });
  }
  void Refuse(const absl::Status& why) override { refusal = why; }
  std::string address() const override { return "10.1.0.1:1"; }

  int Responses(XdsType type) { return responses[std::string(XdsTypeUrl(type))]; }
  int AllResponses() {
    int all = 0;
    for (const auto& [type, count] : responses) all += count;
    return all;
  }

  std::map<std::string, int> responses;         // by type
  std::map<std::string, std::string> versions;  // of what it was sent
  int removed = 0;
  absl::Status refusal;

 private:
  PushServer& server_;
  Loop& loop_;
  const std::string name_;
  const Manners manners_;
  ClientId id_ = 0;
};

class PushServerTest : public ::testing::Test {
 protected:
  PushServerTest() {
    mesh_.Apply(kWeb);
    Move(0);
  }

  std::unique_ptr<Proxy> Connect(const std::string& name, Manners manners) {
    auto proxy = std::make_unique<Proxy>(server_.get(), &loop_, name, manners);
    proxy->AskForAll();
    loop_.RunPending();
    return proxy;
  }
  // The pod is at another address.
  void Move(int address) {
    SnapshotPtr snapshot = mesh_.Apply(Pod(address)).Build();
    snapshots_.push_back(snapshot);
    server_->SetSnapshot(std::move(snapshot), "moved", loop_.Now());
    loop_.RunPending();
  }
  long SnapshotsAlive() const {
    return std::count_if(snapshots_.begin(), snapshots_.end(),
                         [](const auto& snapshot) { return !snapshot.expired(); });
  }
  int64_t Metric(const std::string& name, const metrics::Labels& labels = {}) {
    return registry_.Sum(name, labels);
  }

  FakeClock clock_;
  FakeLoop loop_{clock_};
  metrics::Registry registry_;
  FakeMesh mesh_;
  std::vector<std::weak_ptr<const Snapshot>> snapshots_;
  std::unique_ptr<PushServer> server_ =
      std::make_unique<PushServer>(&loop_, &registry_.NewShard().root(), PushServer::Options{});
};

TEST_F(PushServerTest, WhoNeverAnswersIsSentOneResponsePerTypeAndHoldsNobodyUp) {
  const auto mute = Connect("mute", Manners::kNeverAnswers);
  const auto good = Connect("good", Manners::kAnswers);
  EXPECT_EQ(mute->Responses(XdsType::kEndpoint), 1);
  const int before = good->Responses(XdsType::kEndpoint);
  for (int i = 1; i <= 200; ++i) {
    Move(i);
    ASSERT_EQ(good->Responses(XdsType::kEndpoint), before + i) << "not in the turn of the change";
  }
  EXPECT_EQ(mute->Responses(XdsType::kEndpoint), 1);
  EXPECT_LE(SnapshotsAlive(), 2) << "it must not keep alive what it could have had";
  EXPECT_LE(server_->work().diffs(), 300u);
  EXPECT_EQ(Metric("pilot_xds_unanswered"), 0);
  loop_.Advance(seconds(32));
  EXPECT_EQ(Metric("pilot_xds_unanswered"), 1);
  EXPECT_TRUE(mute->refusal.ok()) << "it may be slow to think: it keeps its stream";
}

TEST_F(PushServerTest, WhoDoesNotReadIsCutOffAndHoldsNobodyUp) {
  const auto stuck = Connect("stuck", Manners::kDoesNotRead);
  const auto good = Connect("good", Manners::kAnswers);
  const int before = good->Responses(XdsType::kEndpoint);
  for (int i = 1; i <= 200; ++i) Move(i);
  EXPECT_EQ(good->Responses(XdsType::kEndpoint), before + 200);
  EXPECT_EQ(stuck->AllResponses(), 1) << "nothing is queued behind what it does not read";
  EXPECT_LE(SnapshotsAlive(), 3) << "the newest, and the one that it is being sent";
  loop_.Advance(seconds(28));
  EXPECT_TRUE(stuck->refusal.ok());
  loop_.Advance(seconds(4));
  EXPECT_EQ(stuck->refusal.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_TRUE(good->refusal.ok());
  EXPECT_EQ(Metric("pilot_xds_cut_off"), 1);
  EXPECT_EQ(Metric("pilot_xds_refused"), 1);
}

TEST_F(PushServerTest, WhoNeverSaysWhoItIsIsCutOff) {
  Proxy stranger(server_.get(), &loop_, "stranger", Manners::kAnswers);
  const auto good = Connect("good", Manners::kAnswers);
  loop_.Advance(seconds(32));
  EXPECT_EQ(stranger.refusal.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(stranger.refusal.message()), HasSubstr("who it is"));
  EXPECT_TRUE(good->refusal.ok());
}

TEST_F(PushServerTest, WhoTellsTooMuchOfItselfIsRefused) {
  Proxy proud(server_.get(), &loop_, "proud", Manners::kAnswers);
  DeltaDiscoveryRequest request;
  request.set_type_url(std::string(XdsTypeUrl(XdsType::kCluster)));
  auto& labels = (*request.mutable_node()->mutable_metadata()->mutable_fields())["LABELS"];
  for (int i = 0; i < 1000; ++i) {
    (*labels.mutable_struct_value()->mutable_fields())[absl::StrCat("label", i)].set_string_value(
        std::string(100, 'x'));
  }
  proud.Say(std::move(request));
  EXPECT_EQ(proud.refusal.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(server_->Clients().size(), 0u);
}

TEST_F(PushServerTest, WhoRefusesEverythingIsNotSentItAgain) {
  const auto stubborn = Connect("stubborn", Manners::kRefuses);
  const auto good = Connect("good", Manners::kAnswers);
  const int clusters = stubborn->Responses(XdsType::kCluster);
  const int listeners = stubborn->Responses(XdsType::kListener);
  loop_.Advance(minutes(60));
  EXPECT_EQ(stubborn->Responses(XdsType::kCluster), clusters);
  EXPECT_LE(clusters, 2);
  const int endpoints = stubborn->Responses(XdsType::kEndpoint);
  for (int i = 1; i <= 100; ++i) Move(i);
  EXPECT_EQ(stubborn->Responses(XdsType::kEndpoint), endpoints + 100) << "each is new: once";
  EXPECT_EQ(stubborn->Responses(XdsType::kCluster), clusters);
  EXPECT_EQ(stubborn->Responses(XdsType::kListener), listeners);
  EXPECT_EQ(Metric("pilot_total_xds_rejects", {{"type", "cds"}}), clusters);
  EXPECT_EQ(good->versions, stubborn->versions);
  int rejected = 0;
  server_->ForEachClient(
      [&](const ClientProgress& progress) { rejected += progress.rejection == "not with me"; });
  EXPECT_EQ(rejected, 1);
}

TEST_F(PushServerTest, WhoAsksWithoutEndIsToldToWait) {
  const auto eager = Connect("eager", Manners::kAnswers);
  const auto good = Connect("good", Manners::kAnswers);
  const int answers = eager->Responses(XdsType::kEndpoint);
  const int before = good->Responses(XdsType::kEndpoint);
  Duration wait{};
  for (int i = 0; i < 2000; ++i) wait = eager->Ask(XdsType::kEndpoint, {kCluster});
  EXPECT_GT(wait, seconds(2));
  EXPECT_LT(wait, seconds(4));
  EXPECT_GT(Metric("pilot_xds_requests_delayed"), 1400);
  Move(1);
  EXPECT_EQ(good->Responses(XdsType::kEndpoint), before + 1);
  EXPECT_LE(eager->Responses(XdsType::kEndpoint), answers + 2) << "one answer for all";
  loop_.Advance(seconds(5));
  EXPECT_EQ(eager->Ask(XdsType::kEndpoint, {kCluster}), Duration::zero());
}

std::vector<std::string> Names(int from, int count) {
  std::vector<std::string> names;
  names.reserve(static_cast<size_t>(count));
  for (int i = from; i < from + count; ++i) {
    names.push_back(absl::StrCat("outbound|80||nowhere-", i, ".default.svc.cluster.local"));
  }
  return names;
}

TEST_F(PushServerTest, FiftyThousandNamesAreServedAndNotOneMore) {
  const auto big = Connect("big", Manners::kAnswers);
  const auto good = Connect("good", Manners::kAnswers);
  const int before = good->Responses(XdsType::kEndpoint);
  EXPECT_LT(big->Ask(XdsType::kEndpoint, Names(0, 49'999)), milliseconds(100));
  loop_.RunPending();
  EXPECT_EQ(big->removed, 49'999) << "each is said not to be there";
  Move(1);
  EXPECT_EQ(good->Responses(XdsType::kEndpoint), before + 1);
  // A request of that size counts as five hundred.
  EXPECT_GT(big->Ask(XdsType::kEndpoint, {}, Names(60'000, 49'999)), milliseconds(900));
  big->Ask(XdsType::kEndpoint, {"one more"});
  EXPECT_EQ(big->refusal.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_TRUE(good->refusal.ok());
}

// Each round asks for ten thousand others: of those before nothing may stay.
TEST_F(PushServerTest, WhoNamesOthersAllTheTimeLeavesNothingBehind) {
  const auto fickle = Connect("fickle", Manners::kAnswers);
  const auto good = Connect("good", Manners::kAnswers);
  const int before = good->Responses(XdsType::kEndpoint);
  constexpr int kEach = 10'000;
  for (int round = 0; round < 30; ++round) {
    fickle->Ask(XdsType::kEndpoint, Names(round * kEach, kEach),
                round == 0 ? std::vector<std::string>() : Names((round - 1) * kEach, kEach));
    loop_.RunPending();
  }
  EXPECT_EQ(fickle->removed, 30 * kEach);
  ProxyView* view = server_->FindView("fickle.default");
  ASSERT_NE(view, nullptr);
  EXPECT_LE(view->scope_class()->resolved(), 8u);
  EXPECT_LE(server_->work().diff_resources(), 256u * 1024);
  Move(1);
  EXPECT_EQ(good->Responses(XdsType::kEndpoint), before + 1);
}

}  // namespace
}  // namespace meltemi::pilot
