#include "pilot/push/session.h"

#include <gmock/gmock.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/wrappers.pb.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "pilot/push/debounce.h"
#include "pilot/push/source_fake.h"

namespace meltemi::pilot {
namespace {

using ::envoy::service::discovery::v3::DiscoveryRequest;
using ::envoy::service::discovery::v3::DiscoveryResponse;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A client that keeps what it is sent and acknowledges when told.
class SessionTest : public ::testing::Test {
 protected:
  static constexpr XdsType kC = XdsType::kCluster;
  static constexpr XdsType kE = XdsType::kEndpoint;
  static constexpr XdsType kL = XdsType::kListener;
  static constexpr XdsType kR = XdsType::kRoute;

  SessionTest() {
    source_.on_change = [this] { session_.OnSnapshot(++version_); };
  }

  Session::Event Ask(XdsType type, std::vector<std::string> names = {}) {
    names_[type] = std::move(names);
    return Send(type, "", "");
  }
  Session::Event Ack(XdsType type) { return Send(type, nonce_[type], ""); }
  Session::Event Nack(XdsType type, const std::string& why) {
    return Send(type, nonce_[type], why);
  }

  Session::Event Send(XdsType type, const std::string& nonce, const std::string& error) {
    DiscoveryRequest request;
    request.set_type_url(std::string(XdsTypeUrl(type)));
    request.set_response_nonce(nonce);
    for (const std::string& name : names_[type]) request.add_resource_names(name);
    if (!error.empty()) request.mutable_error_detail()->set_message(error);
    return session_.OnRequest(request);
  }

  // "CDS a=1 b=2" of the next response; empty if there is none.
  std::string Next() {
    const std::optional<Response> response = session_.Next(now_);
    if (!response.has_value()) return "";
    DiscoveryResponse message;
    EXPECT_TRUE(message.ParseFromString(response->message.ToString()));
    EXPECT_EQ(message.type_url(), std::string(XdsTypeUrl(response->type)));
    EXPECT_EQ(message.nonce(), response->nonce);
    EXPECT_EQ(message.control_plane().identifier(), "meltemi-pilot");
    nonce_[response->type] = message.nonce();
    std::vector<std::string> texts;
    for (const auto& any : message.resources()) {
      google::protobuf::StringValue value;
      EXPECT_TRUE(any.UnpackTo(&value));
      texts.push_back(value.value());
    }
    return absl::StrCat(std::string(XdsTypeShortName(response->type)), " ",
                        absl::StrJoin(texts, " "));
  }
  std::string NextAndAck() {
    const std::string text = Next();
    if (!text.empty()) {
      const XdsType type = text[0] == 'C' ? kC : text[0] == 'E' ? kE : text[0] == 'L' ? kL : kR;
      Ack(type);
    }
    return text;
  }
  // Everything that comes when each response is acknowledged at once.
  std::vector<std::string> Drain() {
    std::vector<std::string> all;
    for (std::string text = NextAndAck(); !text.empty(); text = NextAndAck()) {
      all.push_back(std::move(text));
    }
    return all;
  }

  // A client that has cluster c1 with endpoints, one listener and one route.
  void Establish() {
    source_.Set(kC, "c1", "c1", {"c1"});
    source_.Set(kE, "c1", "e1");
    source_.Set(kL, "l", "l", {"r"});
    source_.Set(kR, "r", "to-c1");
    Ask(kC);
    Drain();
    Ask(kE, {"c1"});
    Drain();
    Ask(kL);
    Drain();
    Ask(kR, {"r"});
    Drain();
    ASSERT_TRUE(session_.Settled());
  }

  FakeSource source_;
  Session session_{&source_, Session::Options{}};
  MonotonicTime now_{};
  uint64_t version_ = 0;
  std::map<XdsType, std::vector<std::string>> names_;
  std::map<XdsType, std::string> nonce_;
};

TEST_F(SessionTest, AnswersOnlyWhatIsAskedFor) {
  source_.Set(kC, "a", "1");
  source_.Set(kE, "x", "ex");
  source_.Set(kE, "y", "ey");
  EXPECT_EQ(Next(), "");
  EXPECT_EQ(Ask(kE, {"y"}), Session::Event::kSubscribe);
  EXPECT_EQ(Next(), "EDS ey");
  EXPECT_EQ(Ack(kE), Session::Event::kAck);
  EXPECT_EQ(Next(), "");
}

TEST_F(SessionTest, SendsEachVersionOnce) {
  Establish();
  EXPECT_EQ(Next(), "");
  source_.Set(kR, "r", "other");
  EXPECT_THAT(Drain(), ElementsAre("RDS other"));
  EXPECT_THAT(Drain(), IsEmpty());
}

TEST_F(SessionTest, ChangedEndpointsTravelAlone) {
  Establish();
  source_.Set(kE, "c1", "e1,e2");
  EXPECT_THAT(Drain(), ElementsAre("EDS e1,e2"));
}

TEST_F(SessionTest, NewNameOfASubscriptionIsAnsweredWithItAlone) {
  Establish();
  source_.Set(kE, "c2", "e2");
  names_[kE] = {"c1", "c2"};
  Ack(kE);
  EXPECT_THAT(Drain(), ElementsAre("EDS e2"));
}

TEST_F(SessionTest, ARouteToANewClusterWaitsUntilTheClusterIsReady) {
  Establish();
  source_.Set(kC, "c2", "c2", {"c2"});
  source_.Set(kE, "c2", "e2");
  source_.Set(kR, "r", "to-c2");
  EXPECT_EQ(Next(), "CDS c1 c2");
  EXPECT_EQ(Next(), "") << "the route must not overtake the cluster";
  Ack(kC);
  EXPECT_EQ(Next(), "") << "nor the cluster's endpoints";
  names_[kE] = {"c1", "c2"};
  Ack(kE);
  EXPECT_EQ(Next(), "EDS e2");
  EXPECT_EQ(Next(), "");
  Ack(kE);
  EXPECT_EQ(Next(), "RDS to-c2");
  Ack(kR);
  EXPECT_TRUE(session_.Settled());
}

TEST_F(SessionTest, AClusterGoesOnlyAfterTheRouteHasLeftIt) {
  Establish();
  source_.Set(kC, "c2", "c2", {"c2"});
  source_.Set(kE, "c2", "e2");
  source_.Set(kR, "r", "to-c2");
  source_.Remove(kC, "c1");
  EXPECT_EQ(NextAndAck(), "CDS c2 c1");
  names_[kE] = {"c1", "c2"};
  Ack(kE);
  EXPECT_EQ(NextAndAck(), "EDS e2");
  EXPECT_EQ(Next(), "RDS to-c2");
  EXPECT_EQ(Next(), "") << "the old route may still be in use";
  Ack(kR);
  EXPECT_EQ(NextAndAck(), "CDS c2");
  EXPECT_TRUE(session_.Settled());
}

TEST_F(SessionTest, ARejectedRouteKeepsItsClusters) {
  Establish();
  source_.Set(kR, "r", "broken");
  source_.Remove(kC, "c1");
  EXPECT_EQ(Next(), "RDS broken");
  EXPECT_EQ(Nack(kR, "no such thing"), Session::Event::kNack);
  EXPECT_EQ(Next(), "");
  source_.Set(kR, "r", "good");
  EXPECT_THAT(Drain(), ElementsAre("RDS good", "CDS "));
}

TEST_F(SessionTest, WaitingForTheClusterIsBounded) {
  Establish();
  source_.Set(kC, "c2", "c2", {"c2"});
  source_.Set(kR, "r", "to-c2");
  EXPECT_EQ(NextAndAck(), "CDS c1 c2");
  EXPECT_EQ(Next(), "");
  ASSERT_TRUE(session_.WakeAt(now_).has_value());
  now_ = *session_.WakeAt(now_);
  EXPECT_EQ(NextAndAck(), "RDS to-c2");
}

TEST_F(SessionTest, RejectionIsKeptAndNotRepeated) {
  Establish();
  source_.Set(kC, "c1", "worse", {"c1"});
  EXPECT_EQ(Next(), "CDS worse");
  Nack(kC, "cluster c1: bad");
  EXPECT_EQ(session_.Status(kC).state, SyncState::kRejected);
  EXPECT_EQ(session_.Status(kC).error, "cluster c1: bad");
  EXPECT_NE(session_.Status(kC).version_acked, session_.Status(kC).version_sent);
  EXPECT_EQ(Next(), "EDS e1") << "what hangs on a changed cluster is sent again";
  Ack(kE);
  EXPECT_EQ(Next(), "");
  source_.Set(kC, "c1", "better", {"c1"});
  EXPECT_EQ(NextAndAck(), "CDS better");
  EXPECT_EQ(session_.Status(kC).state, SyncState::kSynced);
  EXPECT_EQ(session_.Status(kC).error, "");
  EXPECT_EQ(session_.Status(kC).rejections, 1u);
}

TEST_F(SessionTest, StaleNonceIsPassedOver) {
  Establish();
  const std::string old = nonce_[kC];
  source_.Set(kC, "c1", "second", {"c1"});
  EXPECT_EQ(Next(), "CDS second");
  EXPECT_EQ(Send(kC, old, ""), Session::Event::kStale);
  EXPECT_EQ(session_.Status(kC).state, SyncState::kWaiting);
  EXPECT_EQ(Ack(kC), Session::Event::kAck);
}

TEST_F(SessionTest, ChangesDuringASendAreMerged) {
  Establish();
  source_.Set(kR, "r", "2");
  EXPECT_EQ(Next(), "RDS 2");
  source_.Set(kR, "r", "3");
  source_.Set(kR, "r", "4");
  EXPECT_EQ(Next(), "") << "one response at a time";
  Ack(kR);
  EXPECT_THAT(Drain(), ElementsAre("RDS 4"));
}

// gRPC's clients name the listeners and clusters that they want.
TEST_F(SessionTest, NamedListenersAndClusters) {
  source_.Set(kL, "web:80", "lw", {"r"});
  source_.Set(kC, "c1", "c1", {"c1"});
  source_.Set(kC, "c2", "c2", {"c2"});
  source_.Set(kR, "r", "to-c1");
  Ask(kL, {"web:80"});
  EXPECT_THAT(Drain(), ElementsAre("LDS lw"));
  Ask(kR, {"r"});
  EXPECT_THAT(Drain(), ElementsAre("RDS to-c1"));
  Ask(kC, {"c1"});
  EXPECT_THAT(Drain(), ElementsAre("CDS c1"));
  source_.Remove(kL, "web:80");
  EXPECT_THAT(Drain(), ElementsAre("LDS "));
}

TEST_F(SessionTest, UnknownNamedListenerIsAnsweredWithNothing) {
  Ask(kL, {"nowhere:1"});
  EXPECT_THAT(Drain(), ElementsAre("LDS "));
}

TEST_F(SessionTest, UnknownTypesAreIgnored) {
  DiscoveryRequest request;
  request.set_type_url("type.googleapis.com/envoy.service.runtime.v3.Runtime");
  EXPECT_EQ(session_.OnRequest(request), Session::Event::kIgnored);
  EXPECT_EQ(Next(), "");
}

TEST_F(SessionTest, SameContentHasTheSameVersionInAnotherSession) {
  Establish();
  const std::string version = session_.Status(kC).version_sent;
  Session other(&source_, Session::Options{});
  DiscoveryRequest request;
  request.set_type_url(std::string(XdsTypeUrl(kC)));
  other.OnRequest(request);
  EXPECT_EQ(other.Next(now_)->version, version);
}

constexpr ChangeKind kConfig = ChangeKind::kConfig;
constexpr ChangeKind kEndpoints = ChangeKind::kEndpoints;

TEST(Debouncer, ActsAtOnceAfterQuietAndGathersBursts) {
  Debouncer debouncer({.quiet = milliseconds(10), .delay_max = milliseconds(25)});
  const Duration cost = milliseconds(12);
  MonotonicTime now{};
  EXPECT_EQ(debouncer.OnChange(now, kConfig, Duration::zero()), Duration::zero());
  debouncer.OnActed(now);
  now += milliseconds(5);
  EXPECT_EQ(debouncer.OnChange(now, kConfig, cost), milliseconds(10));
  now += milliseconds(9);
  EXPECT_EQ(debouncer.OnChange(now, kConfig, cost), milliseconds(10));
  now += milliseconds(9);
  EXPECT_EQ(debouncer.OnChange(now, kConfig, cost), milliseconds(7)) << "no longer than delay_max";
  now += milliseconds(7);
  debouncer.OnActed(now);
  now += milliseconds(13);
  EXPECT_EQ(debouncer.OnChange(now, kConfig, cost), Duration::zero());
}

TEST(Debouncer, WhatCostsNothingIsNotWaitedFor) {
  Debouncer debouncer({.quiet = milliseconds(10), .delay_max = milliseconds(100)});
  MonotonicTime now{};
  debouncer.OnChange(now, kConfig, Duration::zero());
  debouncer.OnActed(now);
  EXPECT_EQ(debouncer.OnChange(now, kConfig, Duration::zero()), Duration::zero());
  debouncer.OnActed(now);
  now += milliseconds(1);
  EXPECT_EQ(debouncer.OnChange(now, kConfig, milliseconds(2)), milliseconds(2));
}

TEST(Debouncer, ChurnIsPacedByWhatAPushCosts) {
  Debouncer debouncer({.quiet = milliseconds(10), .delay_max = milliseconds(100)});
  MonotonicTime now{};
  EXPECT_EQ(debouncer.OnChange(now, kEndpoints, Duration::zero()), Duration::zero());
  debouncer.OnActed(now);
  now += milliseconds(20);
  EXPECT_EQ(debouncer.OnChange(now, kEndpoints, milliseconds(30)), milliseconds(10));
  now += milliseconds(5);
  EXPECT_EQ(debouncer.OnChange(now, kEndpoints, milliseconds(30)), milliseconds(5));
  now += milliseconds(5);
  debouncer.OnActed(now);
  EXPECT_EQ(debouncer.OnChange(now, kEndpoints, seconds(5)), milliseconds(100));
}

TEST(Debouncer, EndpointsDoNotWaitForABurstOfConfiguration) {
  Debouncer debouncer({.quiet = milliseconds(10), .delay_max = milliseconds(100)});
  MonotonicTime now{};
  debouncer.OnChange(now, kConfig, Duration::zero());
  debouncer.OnActed(now);
  const Duration cost = milliseconds(8);
  now += milliseconds(7);
  EXPECT_EQ(debouncer.OnChange(now, kConfig, cost), milliseconds(8));
  EXPECT_EQ(debouncer.OnChange(now, kEndpoints, cost), milliseconds(1));
  EXPECT_EQ(debouncer.OnChange(now, kConfig, cost), milliseconds(1)) << "not moved on again";
}

}  // namespace
}  // namespace meltemi::pilot
