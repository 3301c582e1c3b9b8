// Who is concerned by an object, and who has acknowledged it: real sessions, proxies that answer
// when told.
#include "pilot/status/program_tracker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/loop/loop_fake.h"
#include "base/metrics/metrics.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "pilot/ingest/decode/manifests.h"
#include "pilot/snapshot/builder.h"
#include "pilot/snapshot/decoder.h"

namespace meltemi::pilot {
namespace {

using ::envoy::service::discovery::v3::DeltaDiscoveryRequest;
using ::envoy::service::discovery::v3::DeltaDiscoveryResponse;

constexpr char kWeb[] = "outbound|80||web.a.svc.cluster.local";

// A sidecar that wants routes of port 80 and answers when it is told to.
class Proxy final : public Peer {
 public:
  static constexpr XdsType kAll[] = {XdsType::kCluster, XdsType::kEndpoint, XdsType::kListener,
                                     XdsType::kRoute};
  Proxy(PushServer* push, const std::string& name, const std::string& ns,
        const std::vector<XdsType>& types = {std::begin(kAll), std::end(kAll)})
      : push_(push),
        node_(absl::StrCat("sidecar~10.9.0.1~", name, ".", ns, "~", ns, ".svc.cluster.local")) {
    id_ = push->OnConnected(this);
    for (const XdsType type : types) Ask(type);
  }
  ~Proxy() override { push_->OnClosed(id_); }
  void Ask(XdsType type) {
    DeltaDiscoveryRequest request;
    request.mutable_node()->set_id(node_);
    request.set_type_url(std::string(XdsTypeUrl(type)));
    if (type == XdsType::kRoute) request.add_resource_names_subscribe("80");
    if (type == XdsType::kEndpoint) request.add_resource_names_subscribe(kWeb);
    push_->OnRequest(id_, request);
  }

  void Write(Message message) override { unread_.push_back(message.ToString()); }
  void Refuse(const absl::Status&) override {}
  std::string address() const override { return "10.9.0.1:1"; }

  // Answers what has come. False: nothing has.
  bool Answer(const std::string& error = "") {
    if (unread_.empty()) return false;
    DeltaDiscoveryResponse response;
    EXPECT_TRUE(response.ParseFromString(unread_.front()));
    unread_.pop_front();
    push_->OnWritten(id_);
    DeltaDiscoveryRequest request;
    request.set_type_url(response.type_url());
    request.set_response_nonce(response.nonce());
    if (!error.empty()) request.mutable_error_detail()->set_message(error);
    push_->OnRequest(id_, request);
    return true;
  }

 private:
  PushServer* const push_;
  const std::string node_;
  ClientId id_ = 0;
  std::deque<std::string> unread_;
};

class ProgramTrackerTest : public ::testing::Test {
 protected:
  ProgramTrackerTest() {
    tracker_.SetOnChange([this](const std::vector<ObjectKey>& keys) {
      told_.insert(told_.end(), keys.begin(), keys.end());
    });
    Apply(R"(
apiVersion: v1
kind: Service
metadata: {name: web, namespace: a}
spec: {clusterIP: 10.0.0.1, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: b}
spec: {egress: [{hosts: ["./*"]}]}
)");
  }

  void Apply(const std::string& text) {
    Manifests manifests = DecodeManifests(text, "test.yaml");
    for (const ObjectPtr& object : manifests.objects) objects_[object->Key()] = object;
    std::vector<ObjectPtr> all;
    for (const auto& [key, object] : objects_) all.push_back(object);
    push_.SetSnapshot(builder_.Build(decoder_.Decode(all)), "test", loop_.Now());
    tracker_.OnPublished(manifests.objects, {});
    loop_.Advance(milliseconds(20));
  }
  static std::string Route(int generation, const std::string& cluster = "web") {
    return absl::StrCat(
        "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: "
        "{name: web, namespace: a, generation: ",
        generation, "}, spec: {hosts: [web], http: [{timeout: ", generation,
        "s, route: [{destination: {host: ", cluster, "}}]}]}}");
  }
  void Settle(const std::vector<Proxy*>& proxies) {
    for (bool more = true; more;) {
      more = false;
      loop_.Advance(milliseconds(20));
      for (Proxy* proxy : proxies) more = proxy->Answer() || more;
    }
  }
  ProgramState State() { return tracker_.State(key_).value(); }

  FakeClock clock_;
  FakeLoop loop_{clock_};
  metrics::Registry registry_;
  PushServer push_{&loop_, &registry_.NewShard().root(), PushServer::Options{}};
  ProgramTracker tracker_{&loop_, &push_};
  ObjectDecoder decoder_{"cluster.local"};
  SnapshotBuilder builder_{MeshSettings{}};
  std::map<ObjectKey, ObjectPtr> objects_;
  std::vector<ObjectKey> told_;
  const ObjectKey key_{Kind::kVirtualService, "a", "web"};
};

TEST_F(ProgramTrackerTest, CountsThoseThatSeeItAndThoseThatHaveIt) {
  Proxy one(&push_, "one", "a"), two(&push_, "two", "a"), blind(&push_, "three", "b");
  Settle({&one, &two, &blind});
  Apply(Route(1));
  EXPECT_EQ(State().generation, 1);
  EXPECT_EQ(State().concerned, 2u) << "the third does not see the service";
  EXPECT_EQ(State().acknowledged, 0u);
  EXPECT_FALSE(State().programmed());
  told_.clear();
  Settle({&one});
  EXPECT_EQ(State().acknowledged, 1u);
  EXPECT_FALSE(told_.empty());
  Settle({&two});
  EXPECT_TRUE(State().programmed());
  EXPECT_EQ(tracker_.pending(), 0u);
}

TEST_F(ProgramTrackerTest, ANewVersionHasToBeAcknowledgedAnew) {
  Proxy one(&push_, "one", "a");
  Settle({&one});
  Apply(Route(1));
  Settle({&one});
  ASSERT_TRUE(State().programmed());
  Apply(Route(2));
  EXPECT_EQ(State().generation, 2);
  EXPECT_EQ(State().acknowledged, 0u);
  Settle({&one});
  EXPECT_TRUE(State().programmed());
}

TEST_F(ProgramTrackerTest, TheFirstRejectionIsTold) {
  Proxy one(&push_, "one", "a");
  Settle({&one});
  Apply(Route(1));
  ASSERT_TRUE(one.Answer("routes '80': no such thing"));
  loop_.Advance(milliseconds(20));
  EXPECT_EQ(State().first_nack, "one.a: routes '80': no such thing");
  EXPECT_FALSE(State().programmed());
  Apply(Route(2));
  Settle({&one});
  EXPECT_EQ(State().first_nack, "");
  EXPECT_TRUE(State().programmed());
}

TEST_F(ProgramTrackerTest, WhatIsHeldBackIsNotAccepted) {
  Apply(Route(1, "nowhere"));
  EXPECT_FALSE(State().accepted);
  EXPECT_EQ(State().reason, "HeldBack");
  EXPECT_NE(State().message, "");
}

TEST_F(ProgramTrackerTest, AProxyThatGoesIsNotWaitedFor) {
  auto one = std::make_unique<Proxy>(&push_, "one", "a");
  Settle({one.get()});
  Apply(Route(1));
  EXPECT_FALSE(State().programmed());
  one = nullptr;
  loop_.Advance(milliseconds(20));
  EXPECT_TRUE(State().programmed());
}

TEST_F(ProgramTrackerTest, WhoHearsThatAProxyFellBackHearsThatItHasCaughtUp) {
  Proxy one(&push_, "one", "a"), late(&push_, "two", "a", {XdsType::kCluster, XdsType::kEndpoint});
  Settle({&one, &late});
  Apply(Route(1));
  Settle({&one, &late});
  ASSERT_TRUE(State().programmed());
  // It had all that it had asked for.
  late.Ask(XdsType::kListener);
  late.Ask(XdsType::kRoute);
  Apply(
      "{apiVersion: v1, kind: Service, metadata: {name: other, namespace: a}, spec: {clusterIP: "
      "10.0.0.2, ports: [{name: http, port: 81}]}}");
  ASSERT_FALSE(State().programmed());
  told_.clear();
  Settle({&one, &late});
  loop_.Advance(seconds(3));  // the endpoints of the other service are not asked for
  Settle({&one, &late});
  EXPECT_TRUE(State().programmed());
  EXPECT_EQ(std::count(told_.begin(), told_.end(), key_), 1);
}

TEST_F(ProgramTrackerTest, KindsWithoutConditionsAreNotTracked) {
  EXPECT_FALSE(tracker_.State({Kind::kService, "a", "web"}).has_value());
}

}  // namespace
}  // namespace meltemi::pilot
