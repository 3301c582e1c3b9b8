#include "pilot/push/delta_session.h"

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
#include "pilot/push/source_fake.h"

namespace meltemi::pilot {
namespace {

using ::envoy::service::discovery::v3::DeltaDiscoveryRequest;
using ::envoy::service::discovery::v3::DeltaDiscoveryResponse;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr XdsType kC = XdsType::kCluster;
constexpr XdsType kE = XdsType::kEndpoint;
constexpr XdsType kL = XdsType::kListener;
constexpr XdsType kR = XdsType::kRoute;

class DeltaSessionTest : public ::testing::Test {
 protected:
  DeltaSessionTest() {
    Reconnect();
    source_.on_change = [this] { session_->OnSnapshot(++version_); };
  }

  void Reconnect() {
    session_ = std::make_unique<DeltaSession>(&source_, SessionOptions{.names_max = 100});
    session_->OnSnapshot(version_);
    nonce_.clear();
  }
  struct Words {
    std::vector<std::string> subscribe = {}, unsubscribe = {};
    std::map<std::string, std::string> versions = {};
    std::string nonce = "", error = "";
  };
  SessionEvent Say(XdsType type, const Words& words) {
    DeltaDiscoveryRequest request;
    request.set_type_url(std::string(XdsTypeUrl(type)));
    request.set_response_nonce(words.nonce);
    for (const auto& name : words.subscribe) request.add_resource_names_subscribe(name);
    for (const auto& name : words.unsubscribe) request.add_resource_names_unsubscribe(name);
    for (const auto& [name, version] : words.versions) {
      (*request.mutable_initial_resource_versions())[name] = version;
    }
    if (!words.error.empty()) request.mutable_error_detail()->set_message(words.error);
    return session_->OnRequest(request);
  }
  SessionEvent Ask(XdsType type, std::vector<std::string> names = {}) {
    return Say(type, {.subscribe = std::move(names)});
  }
  SessionEvent Ack(XdsType type) { return Say(type, {.nonce = nonce_[type]}); }
  SessionEvent Nack(XdsType type, const std::string& why) {
    return Say(type, {.nonce = nonce_[type], .error = why});
  }

  // "CDS a=1 b=2 -c" of the next response; empty if there is none.
  std::string Next() {
    const std::optional<Response> response = session_->Next(now_);
    if (!response.has_value()) return "";
    DeltaDiscoveryResponse message;
    EXPECT_TRUE(message.ParseFromString(response->message.ToString()));
    EXPECT_EQ(message.type_url(), std::string(XdsTypeUrl(response->type)));
    EXPECT_EQ(message.nonce(), response->nonce);
    EXPECT_EQ(message.control_plane().identifier(), "meltemi-pilot");
    nonce_[response->type] = message.nonce();
    std::vector<std::string> texts = {std::string(XdsTypeShortName(response->type))};
    for (const auto& resource : message.resources()) {
      google::protobuf::StringValue value;
      EXPECT_TRUE(resource.resource().UnpackTo(&value));
      texts.push_back(absl::StrCat(resource.name(), "=", value.value()));
      versions_[response->type][resource.name()] = resource.version();
    }
    for (const std::string& name : message.removed_resources()) {
      texts.push_back("-" + name);
      versions_[response->type].erase(name);
    }
    last_type_ = response->type;
    return absl::StrJoin(texts, " ");
  }
  std::string NextAndAck() {
    std::string text = Next();
    if (!text.empty()) Ack(last_type_);
    return text;
  }
  std::vector<std::string> Drain() {
    std::vector<std::string> all;
    for (std::string text = NextAndAck(); !text.empty(); text = NextAndAck()) {
      all.push_back(std::move(text));
    }
    return all;
  }
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
    ASSERT_TRUE(session_->Settled());
  }

  FakeSource source_;
  std::unique_ptr<DeltaSession> session_;
  MonotonicTime now_{};
  uint64_t version_ = 1;
  std::map<XdsType, std::string> nonce_;
  std::map<XdsType, std::map<std::string, std::string>> versions_;  // what the client has
  XdsType last_type_ = kC;
};

TEST_F(DeltaSessionTest, SendsOnlyWhatIsNewOrGone) {
  Establish();
  EXPECT_EQ(Next(), "");
  source_.Set(kC, "c2", "c2");
  EXPECT_THAT(Drain(), ElementsAre("CDS c2=c2"));
  source_.Remove(kC, "c2");
  EXPECT_THAT(Drain(), ElementsAre("CDS -c2"));
  source_.Set(kL, "l2", "l2");
  EXPECT_THAT(Drain(), ElementsAre("LDS l2=l2"));
  source_.Remove(kL, "l2");
  EXPECT_THAT(Drain(), ElementsAre("LDS -l2"));
  EXPECT_TRUE(session_->Settled());
}

TEST_F(DeltaSessionTest, AnEmptyMeshIsAnsweredToo) {
  Ask(kC);
  EXPECT_THAT(Drain(), ElementsAre("CDS"));
  Ask(kL, {"*"});
  EXPECT_THAT(Drain(), ElementsAre("LDS"));
}

TEST_F(DeltaSessionTest, EndpointsGoOutThoughClustersAreNotAnswered) {
  Establish();
  source_.Set(kC, "c2", "c2");
  EXPECT_EQ(Next(), "CDS c2=c2");
  source_.Set(kE, "c1", "e1,e2");
  EXPECT_EQ(Next(), "EDS c1=e1,e2");
}

TEST_F(DeltaSessionTest, EndpointsGoBeforeClustersOfTheSameSnapshot) {
  Establish();
  source_.Set(kC, "c2", "c2");
  source_.Set(kE, "c1", "e1,e2");
  EXPECT_EQ(Next(), "EDS c1=e1,e2");
  EXPECT_EQ(Next(), "CDS c2=c2");
}

TEST_F(DeltaSessionTest, AReconnectBringsWhatItHasAndGetsTheRest) {
  Establish();
  source_.Set(kC, "c2", "c2", {"c2"});
  source_.Set(kE, "c2", "e2");
  Say(kE, {.subscribe = {"c2"}});
  Drain();
  const auto had = versions_;
  Reconnect();
  source_.Set(kC, "c3", "c3");
  source_.Set(kE, "c1", "moved");
  source_.Remove(kC, "c2");
  Say(kC, {.versions = had.at(kC)});
  Say(kE, {.subscribe = {"c1", "c2"}, .versions = had.at(kE)});
  Say(kL, {.versions = had.at(kL)});
  Say(kR, {.subscribe = {"r"}, .versions = had.at(kR)});
  EXPECT_THAT(Drain(), ElementsAre("EDS c1=moved", "CDS c3=c3", "CDS -c2"));
  EXPECT_TRUE(session_->Settled());
  EXPECT_EQ(session_->Status(kR).responses, 0u);
  EXPECT_EQ(session_->Status(kR).state, SyncState::kSynced);
}

TEST_F(DeltaSessionTest, VersionsOfAnotherPilotAreComparedByContent) {
  Establish();
  Reconnect();
  Say(kC, {.versions = {{"c1", "7"}, {"stranger", "8"}}});
  EXPECT_THAT(Drain(), ElementsAre("CDS c1=c1 -stranger"));
}

TEST_F(DeltaSessionTest, NamesComeAndGo) {
  Establish();
  source_.Set(kE, "x", "ex");
  EXPECT_EQ(Say(kE, {.subscribe = {"x"}}), SessionEvent::kSubscribe);
  EXPECT_THAT(Drain(), ElementsAre("EDS x=ex"));
  Say(kE, {.unsubscribe = {"x"}});
  source_.Set(kE, "x", "changed");
  EXPECT_THAT(Drain(), IsEmpty());
  Say(kE, {.subscribe = {"x"}});
  EXPECT_THAT(Drain(), ElementsAre("EDS x=changed"));
  // Who asks again may have forgotten it.
  Say(kE, {.unsubscribe = {"x"}});
  Say(kE, {.subscribe = {"x"}});
  EXPECT_THAT(Drain(), ElementsAre("EDS x=changed"));
  Say(kE, {.subscribe = {"x"}});
  EXPECT_THAT(Drain(), ElementsAre("EDS x=changed"));
}

TEST_F(DeltaSessionTest, ANameBehindWhichThereIsNothingIsSaidToBeGoneOnce) {
  Establish();
  Say(kE, {.subscribe = {"nowhere"}});
  EXPECT_THAT(Drain(), ElementsAre("EDS -nowhere"));
  EXPECT_THAT(Drain(), IsEmpty());
  source_.Set(kE, "nowhere", "here");
  EXPECT_THAT(Drain(), ElementsAre("EDS nowhere=here"));
  // Whoever still routes there keeps the endpoints that it has.
  source_.Remove(kE, "nowhere");
  EXPECT_THAT(Drain(), IsEmpty());
}

TEST_F(DeltaSessionTest, NamedClustersAndListeners) {
  source_.Set(kL, "web:80", "lw", {"r"});
  source_.Set(kC, "c1", "c1", {"c1"});
  source_.Set(kC, "c2", "c2");
  Ask(kL, {"web:80", "none:1"});
  EXPECT_THAT(Drain(), ElementsAre("LDS web:80=lw -none:1"));
  Ask(kC, {"c1"});
  EXPECT_THAT(Drain(), ElementsAre("CDS c1=c1"));
  source_.Remove(kL, "web:80");
  EXPECT_THAT(Drain(), ElementsAre("LDS -web:80"));
}

TEST_F(DeltaSessionTest, FromNamesToEverythingAndBack) {
  source_.Set(kC, "c1", "c1");
  source_.Set(kC, "c2", "c2");
  Ask(kC, {"c1"});
  EXPECT_THAT(Drain(), ElementsAre("CDS c1=c1"));
  Say(kC, {.subscribe = {"*"}});
  EXPECT_EQ(NextAndAck(), "CDS c1=c1 c2=c2");
  Say(kC, {.unsubscribe = {"*"}});
  source_.Set(kC, "c2", "changed");
  source_.Set(kC, "c1", "changed");
  EXPECT_THAT(Drain(), ElementsAre("CDS c1=changed"));
}

TEST_F(DeltaSessionTest, GivingUpANameThatEverythingHasIsAnsweredWithIt) {
  source_.Set(kC, "c1", "c1");
  Say(kC, {.subscribe = {"*", "c1", "nowhere"}});
  EXPECT_THAT(Drain(), ElementsAre("CDS c1=c1 -nowhere"));
  Say(kC, {.unsubscribe = {"c1", "nowhere"}});
  EXPECT_THAT(Drain(), ElementsAre("CDS c1=c1 -nowhere"));
  source_.Set(kC, "c1", "changed");
  EXPECT_THAT(Drain(), ElementsAre("CDS c1=changed"));
  EXPECT_TRUE(session_->Settled());
}

TEST_F(DeltaSessionTest, ANamedClusterThatGoesIsToldOnceItsRoutesAreSettled) {
  source_.Set(kC, "c1", "c1");
  source_.Set(kR, "r", "to-c1");
  Ask(kC, {"c1"});
  Ask(kR, {"r"});
  Drain();
  source_.Remove(kC, "c1");
  source_.Set(kR, "r", "to-nowhere");
  EXPECT_THAT(Drain(), ElementsAre("RDS r=to-nowhere", "CDS -c1"));
  // Still to be told when the wildcard comes and goes in between.
  source_.Set(kC, "c1", "again");
  Drain();
  source_.Remove(kC, "c1");
  source_.Set(kR, "r", "to-nobody");
  EXPECT_EQ(Next(), "RDS r=to-nobody");
  Ask(kC, {"*"});
  Say(kC, {.unsubscribe = {"*"}});
  Ack(kR);
  EXPECT_THAT(Drain(), ElementsAre("CDS", "CDS -c1"));
  EXPECT_TRUE(session_->Settled());
}

TEST_F(DeltaSessionTest, WhatIsGivenUpAfterAReconnectIsNotTakenForThere) {
  Establish();
  Reconnect();
  Say(kC, {.subscribe = {"*"}, .versions = versions_[kC]});
  Say(kC, {.unsubscribe = {"*"}});
  Say(kC, {.subscribe = {"*"}});
  Say(kE, {.subscribe = {"c1"}, .versions = versions_[kE]});
  Say(kE, {.unsubscribe = {"c1"}});
  Say(kE, {.subscribe = {"c1"}});
  EXPECT_THAT(Drain(), ElementsAre("EDS c1=e1", "CDS c1=c1", "EDS c1=e1"));
}

TEST_F(DeltaSessionTest, ARouteToANewClusterWaitsUntilTheClusterIsReady) {
  Establish();
  source_.Set(kC, "c2", "c2", {"c2"});
  source_.Set(kE, "c2", "e2");
  source_.Set(kR, "r", "to-c2");
  source_.Remove(kC, "c1");
  EXPECT_EQ(Next(), "CDS c2=c2");
  EXPECT_EQ(Next(), "") << "the route must not overtake the cluster";
  Ack(kC);
  EXPECT_EQ(Next(), "") << "nor the cluster's endpoints";
  Say(kE, {.subscribe = {"c2"}});
  EXPECT_EQ(Next(), "EDS c2=e2");
  EXPECT_EQ(Next(), "");
  Ack(kE);
  EXPECT_EQ(Next(), "RDS r=to-c2");
  EXPECT_EQ(Next(), "") << "the old route may still be in use";
  Ack(kR);
  EXPECT_EQ(NextAndAck(), "CDS -c1");
  EXPECT_TRUE(session_->Settled());
}

TEST_F(DeltaSessionTest, AClusterThatComesBackBeforeItIsGoneStays) {
  Establish();
  source_.Set(kR, "r", "broken");
  source_.Remove(kC, "c1");
  EXPECT_EQ(Next(), "RDS r=broken");
  Nack(kR, "no such thing");
  EXPECT_EQ(Next(), "");
  source_.Set(kC, "c1", "c1", {"c1"});
  source_.Set(kR, "r", "good");
  EXPECT_EQ(NextAndAck(), "CDS c1=c1");
  EXPECT_THAT(Drain(), ElementsAre("EDS c1=e1", "RDS r=good"));
  EXPECT_TRUE(session_->Settled());
}

TEST_F(DeltaSessionTest, WhatHangsOnAChangedClusterIsSentAgain) {
  Establish();
  source_.Set(kC, "c1", "changed", {"c1"});
  EXPECT_THAT(Drain(), ElementsAre("CDS c1=changed", "EDS c1=e1"));
}

TEST_F(DeltaSessionTest, RejectionIsKeptAndNotRepeated) {
  Establish();
  source_.Set(kL, "l", "worse", {"r"});
  EXPECT_EQ(Next(), "LDS l=worse");
  EXPECT_EQ(Nack(kL, "listener l: bad"), SessionEvent::kNack);
  EXPECT_EQ(session_->Status(kL).state, SyncState::kRejected);
  EXPECT_EQ(session_->Status(kL).error, "listener l: bad");
  EXPECT_LT(session_->core().acked_version(), version_);
  EXPECT_THAT(Drain(), ElementsAre("RDS r=to-c1"));
  EXPECT_LT(session_->core().acked_version(), version_);
  source_.Set(kL, "l", "better", {"r"});
  Drain();
  EXPECT_EQ(session_->Status(kL).error, "");
  EXPECT_EQ(session_->core().acked_version(), version_);
}

TEST_F(DeltaSessionTest, AnOldNonceAnswersNothingButItsNamesCount) {
  Establish();
  source_.Set(kE, "x", "ex");
  const std::string old = nonce_[kE];
  source_.Set(kE, "c1", "second");
  EXPECT_EQ(Next(), "EDS c1=second");
  EXPECT_EQ(Say(kE, {.subscribe = {"x"}, .nonce = old}), SessionEvent::kStale);
  EXPECT_EQ(session_->Status(kE).state, SyncState::kWaiting);
  EXPECT_EQ(Next(), "") << "one response at a time";
  EXPECT_EQ(Ack(kE), SessionEvent::kAck);
  EXPECT_EQ(Next(), "EDS x=ex");
}

TEST_F(DeltaSessionTest, TooManyNamesAreRefused) {
  std::vector<std::string> names;
  for (int i = 0; i < 60; ++i) names.push_back(absl::StrCat("n", i));
  EXPECT_EQ(Ask(kE, names), SessionEvent::kSubscribe);
  for (std::string& name : names) name += "x";
  EXPECT_EQ(Ask(kE, names), SessionEvent::kTooMany);
  names.resize(101);
  EXPECT_EQ(Ask(kR, names), SessionEvent::kTooMany);
}

TEST_F(DeltaSessionTest, RoutesDoNotStarveWhileEndpointsKeepChanging) {
  Establish();
  source_.Set(kE, "c1", "e2");
  EXPECT_EQ(Next(), "EDS c1=e2");
  source_.Set(kR, "r", "changed");
  source_.Set(kE, "c1", "e3");
  EXPECT_EQ(Next(), "RDS r=changed") << "though endpoints are not answered";
}

TEST_F(DeltaSessionTest, AckedVersionFollowsUnderChurn) {
  Establish();
  for (int i = 0; i < 5; ++i) {
    source_.Set(kE, "c1", absl::StrCat("e", i, "a"));
    EXPECT_NE(Next(), "");
    const uint64_t sent = version_;
    source_.Set(kE, "c1", absl::StrCat("e", i, "b"));
    Ack(kE);
    EXPECT_NE(Next(), "");
    EXPECT_GE(session_->core().acked_version(), sent) << "never settled, yet it comes along";
    Ack(kE);
  }
}

}  // namespace
}  // namespace meltemi::pilot
