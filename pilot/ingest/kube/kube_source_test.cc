#include "pilot/ingest/kube/kube_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/loop/loop_fake.h"
#include "kube/client/client_fake.h"
#include "kube/executor/executor_fake.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/validate/validate.h"

namespace meltemi::pilot {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Lines = std::vector<std::string>;

constexpr char kRules[] = "/apis/networking.istio.io/v1/virtualservices";

kube::Status Ended(int code, absl::string_view message = "") {
  return {.code = code, .message = std::string(message)};
}

std::string Rule(absl::string_view name, int version, absl::string_view spec, int generation = 1) {
  return absl::StrCat(R"({"metadata":{"namespace":"n","name":")", name,
                      R"(","uid":"u","resourceVersion":")", version, R"(","generation":)",
                      generation, R"(},"spec":)", spec, R"(,"status":{"x":1}})");
}

std::string To(absl::string_view host) {
  return absl::StrCat(R"({"hosts":["a"],"http":[{"route":[{"destination":{"host":")", host,
                      R"("}}]}]})");
}

std::string Service(absl::string_view name) {
  return absl::StrCat(R"({"metadata":{"namespace":"n","name":")", name,
                      R"(","resourceVersion":"1"},"spec":{"ports":[{"port":80}]}})");
}

// An API server that the test fills, with the source that reads it.
class KubeSourceTest : public testing::Test {
 protected:
  KubeSourceTest() : loop_(executor_.fake_clock()) {
    Serve({"virtualservices/VirtualService", "destinationrules/DestinationRule"});
    client_.on_call = [this](const kube::ApiCall& call) { return Answer(call); };
  }

  // Istio's kinds that the server has, "PLURAL/KIND", at `version`.
  void Serve(const Lines& kinds, absl::string_view version = "v1") {
    Lines resources;
    for (const std::string& kind : kinds) {
      const size_t slash = kind.find('/');
      resources.push_back(absl::StrCat(R"({"resource":")", kind.substr(0, slash),
                                       R"(","scope":"Namespaced","responseKind":{"kind":")",
                                       kind.substr(slash + 1), R"("},"verbs":["list","watch"]})"));
    }
    groups_ = absl::StrCat(R"({"kind":"APIGroupDiscoveryList","items":[{"metadata":)",
                           R"({"name":"networking.istio.io"},"versions":[{"version":")", version,
                           R"(","resources":[)", absl::StrJoin(resources, ","), "]}]}]}");
  }

  kube::Result<kube::ApiAnswer> Answer(const kube::ApiCall& call) {
    if (down_) return Ended(0, "connection refused");
    if (call.path == "/api") return kube::ApiAnswer{.body = R"({"kind":"APIGroupDiscoveryList"})"};
    if (call.path == "/apis") return kube::ApiAnswer{.body = groups_};
    const auto refused = refused_.find(call.path);
    if (refused != refused_.end()) return refused->second;
    return kube::ApiAnswer{.body = absl::StrCat(R"({"metadata":{"resourceVersion":"10"},"items":[)",
                                                absl::StrJoin(lists_[call.path], ","), "]}")};
  }

  void Start() {
    source_ = NewKubeSource(loop_, client_, executor_, {}, Validate, [this](const Changes& c) {
      Lines line;
      for (const ObjectPtr& object : c.updated) line.push_back(object->Key().ToString());
      for (const ObjectKey& key : c.deleted) line.push_back("-" + key.ToString());
      told_.push_back(absl::StrJoin(line, ", "));
    });
    source_->SetOnLive([this](const std::vector<ObjectKey>& keys) {
      for (const ObjectKey& key : keys) live_.push_back(key.ToString());
    });
    ASSERT_TRUE(source_->Start().ok());
    Settle();
  }
  void Settle() {
    do {
      executor_.RunReady();
      loop_.RunPending();
    } while (executor_.ready() > 0);
  }
  void Wait(Duration by) {
    for (Duration done = Duration(); done < by; done += milliseconds(50)) {
      executor_.Advance(milliseconds(50));
      loop_.RunPending();
      Settle();
    }
  }
  // A watch event.
  void Say(absl::string_view path, absl::string_view type, absl::string_view object) {
    for (const auto& watch : client_.watches()) {
      if (watch.call.path == path) return watch.sink->OnEvent(type, object);
    }
    FAIL() << "nobody watches " << path;
  }
  void EndWatch(absl::string_view path, int code) {
    for (const auto& watch : client_.watches()) {
      if (watch.call.path == path) return watch.sink->OnEnd(Ended(code, "gone"));
    }
    FAIL() << "nobody watches " << path;
  }
  Lines Told() { return std::exchange(told_, {}); }
  std::string Problems() {
    Lines lines;
    for (const Diagnostic& d : source_->Diagnostics()) lines.push_back(d.ToString());
    return absl::StrJoin(lines, "\n");
  }
  std::string HostOf(absl::string_view name) {
    for (const ObjectPtr& object : source_->Objects()) {
      if (object->kind != Kind::kVirtualService || object->meta.name != name) continue;
      return object->Spec<istio::networking::v1alpha3::VirtualService>()
          .http(0)
          .route(0)
          .destination()
          .host();
    }
    return "none";
  }
  const ObjectKey key_{.kind = Kind::kVirtualService, .ns = "n", .name = "r"};

  kube::ExecutorFake executor_;
  FakeLoop loop_;
  kube::ClientFake client_;
  std::string groups_;
  std::map<std::string, Lines> lists_;
  std::map<std::string, kube::Status> refused_;
  bool down_ = false;
  Lines told_, live_;
  std::unique_ptr<KubeSource> source_;
};

TEST_F(KubeSourceTest, TheFirstChangeIsAllThatThereIs) {
  lists_["/api/v1/services"] = {Service("a"), Service("b")};
  lists_[kRules] = {Rule("r", 3, To("b"), 4)};
  Start();
  EXPECT_THAT(Told(), ElementsAre("Service n/a, Service n/b, VirtualService n/r"));
  EXPECT_EQ(source_->Objects().size(), 3u);
  EXPECT_EQ(source_->Objects()[2]->meta.generation, 4);
  EXPECT_EQ(source_->Objects()[2]->api_version, "networking.istio.io/v1");
  ASSERT_NE(source_->Live(key_), nullptr);
  EXPECT_EQ(source_->Live(key_)->status_json, R"({"x":1})");
  EXPECT_EQ(source_->Live(key_)->resource.resource, "virtualservices");
}

TEST_F(KubeSourceTest, WhatHappensInOneTurnOfTheLoopArrivesAsOneChange) {
  Start();
  Told();
  Say("/api/v1/services", "ADDED", Service("a"));
  Say(kRules, "ADDED", Rule("r", 11, To("a")));
  Say(kRules, "MODIFIED", Rule("r", 12, To("b"), 2));
  Say("/api/v1/services", "DELETED", Service("a"));
  Settle();
  EXPECT_THAT(Told(), ElementsAre("VirtualService n/r"));
  EXPECT_EQ(HostOf("r"), "b");
}

TEST_F(KubeSourceTest, AStatusThatChangesIsNoChangeOfConfiguration) {
  lists_[kRules] = {Rule("r", 3, To("b"))};
  Start();
  Told();
  live_.clear();
  Say(kRules, "MODIFIED", Rule("r", 12, To("b")));
  Settle();
  EXPECT_THAT(Told(), IsEmpty());
  EXPECT_THAT(live_, ElementsAre("VirtualService n/r"));
  EXPECT_EQ(source_->Live(key_)->resource_version, "12");
}

TEST_F(KubeSourceTest, AnObjectInErrorIsToldAndItsLastGoodVersionStays) {
  lists_[kRules] = {Rule("r", 3, To("b"))};
  Start();
  Told();
  Say(kRules, "MODIFIED", Rule("r", 12, R"({"hosts":["a"],"htp":[]})", 2));
  Settle();
  EXPECT_THAT(Told(), ElementsAre(""));
  EXPECT_EQ(HostOf("r"), "b");
  EXPECT_THAT(Problems(), HasSubstr("(the last good version stays in effect)"));
  EXPECT_THAT(source_->Live(key_)->rejected, HasSubstr("spec.htp: unknown field"));
  EXPECT_EQ(source_->Live(key_)->generation, 2);

  // What decodes and breaks a rule counts the same.
  Say(kRules, "MODIFIED", Rule("r", 13, R"({"hosts":[]})", 3));
  Settle();
  EXPECT_EQ(HostOf("r"), "b");
  Say(kRules, "MODIFIED", Rule("r", 14, To("c"), 4));
  Settle();
  EXPECT_EQ(HostOf("r"), "c");
  EXPECT_EQ(source_->Live(key_)->rejected, "");
  EXPECT_THAT(Problems(), Not(HasSubstr("IST0106")));
}

TEST_F(KubeSourceTest, DefinitionsThatAreMissingAreToldAndReadWhenTheyCome) {
  Serve({"virtualservices/VirtualService"});
  lists_["/apis/networking.istio.io/v1/gateways"] = {
      R"({"metadata":{"namespace":"n","name":"g"},"spec":{"selector":{"a":"b"},)"
      R"("servers":[{"port":{"number":80,"name":"http","protocol":"HTTP"},"hosts":["*"]}]}})"};
  Start();
  EXPECT_THAT(Told(), ElementsAre(""));
  EXPECT_THAT(Problems(), HasSubstr("no Gateway.networking.istio.io: install its definition"));

  Serve({"virtualservices/VirtualService", "gateways/Gateway"});
  Say("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "ADDED",
      R"({"metadata":{"name":"gateways.networking.istio.io","resourceVersion":"20"}})");
  Settle();
  Wait(milliseconds(200));
  EXPECT_THAT(Told(), Contains("Gateway n/g"));
  EXPECT_THAT(Problems(), Not(HasSubstr("no Gateway.")));
}

TEST_F(KubeSourceTest, ADefinitionThatIsNotServedYetIsAskedForAgain) {
  Serve({"virtualservices/VirtualService"});
  Start();
  Say("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "ADDED",
      R"({"metadata":{"name":"sidecars.networking.istio.io","resourceVersion":"20"}})");
  Wait(milliseconds(300));
  Serve({"virtualservices/VirtualService", "sidecars/Sidecar"});
  Wait(seconds(2));
  EXPECT_THAT(Problems(), Not(HasSubstr("no Sidecar.")));
}

TEST_F(KubeSourceTest, AVersionThatIsNoLongerServedIsReadAtAnother) {
  lists_[kRules] = {Rule("r", 3, To("b"))};
  lists_["/apis/networking.istio.io/v1beta1/virtualservices"] = {Rule("r", 3, To("b"))};
  Start();
  Told();
  Serve({"virtualservices/VirtualService", "destinationrules/DestinationRule"}, "v1beta1");
  source_->Refresh();
  Settle();
  EXPECT_EQ(HostOf("r"), "b");
  EXPECT_EQ(source_->Live(key_)->resource.version, "v1beta1");
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_F(KubeSourceTest, AGroupOfWhichNothingIsKnownNowTakesNothingAway) {
  lists_[kRules] = {Rule("r", 3, To("b"))};
  Start();
  groups_ = R"({"kind":"APIGroupDiscoveryList","items":[{"metadata":{"name":)"
            R"("networking.istio.io"},"versions":[{"version":"v1","freshness":"Stale"}]}]})";
  source_->Refresh();
  Settle();
  EXPECT_EQ(HostOf("r"), "b");
  groups_ = R"({"kind":"APIGroupDiscoveryList","items":[]})";
  source_->Refresh();
  Settle();
  EXPECT_EQ(HostOf("r"), "none");
}

TEST_F(KubeSourceTest, AHistoryThatIsLostIsReadAnewAsTheDifference) {
  lists_[kRules] = {Rule("r", 3, To("b")), Rule("s", 3, To("b"))};
  Start();
  Told();
  lists_[kRules] = {Rule("s", 3, To("b")), Rule("t", 40, To("b"))};
  EndWatch(kRules, 410);
  Wait(seconds(2));
  EXPECT_THAT(Told(), ElementsAre("VirtualService n/t, -VirtualService n/r"));
}

TEST_F(KubeSourceTest, AServerThatIsDownTakesNothingAway) {
  lists_["/api/v1/services"] = {Service("a")};
  Start();
  Told();
  down_ = true;
  EndWatch("/api/v1/services", 0);
  source_->Refresh();
  Wait(minutes(2));
  EXPECT_EQ(source_->Objects().size(), 1u);
  EXPECT_THAT(Told(), IsEmpty());
  down_ = false;
  Wait(seconds(5));
  Say("/api/v1/services", "ADDED", Service("b"));
  Settle();
  EXPECT_THAT(Told(), Contains("Service n/b"));
}

TEST_F(KubeSourceTest, NothingIsToldBeforeTheServerAnswers) {
  down_ = true;
  Start();
  Wait(minutes(2));
  EXPECT_THAT(Told(), IsEmpty());
  down_ = false;
  Wait(minutes(1));
  EXPECT_THAT(Told(), ElementsAre(""));
}

TEST_F(KubeSourceTest, AKindThatMayNotBeReadIsWaitedForOnlySoLong) {
  refused_.emplace("/api/v1/pods", Ended(403, "pods is forbidden"));
  Start();
  Wait(seconds(20));
  EXPECT_THAT(Told(), IsEmpty());
  Wait(seconds(15));
  EXPECT_THAT(Told(), ElementsAre(""));
  EXPECT_THAT(Problems(), HasSubstr("Pod can't be read: pods is forbidden"));
}

TEST_F(KubeSourceTest, ItEndsWithWorkUnderWay) {
  Start();
  source_->Refresh();
  Say("/api/v1/services", "ADDED", Service("b"));
  source_ = nullptr;
  Settle();
  EXPECT_THAT(client_.watches(), IsEmpty());
}

}  // namespace
}  // namespace meltemi::pilot
