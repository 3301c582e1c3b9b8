// Pilot's Kubernetes side against a real kube-apiserver. Skipped, with the reason, where that
// cannot be had.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/json/parse.h"
#include "base/json/write.h"
#include "base/loop/loop.h"
#include "cli/install/manifests.h"
#include "kube/client/kubeconfig.h"
#include "kube/executor/executor.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/app/kubernetes.h"
#include "pilot/crds/crds.h"
#include "pilot/ingest/kube/kube_source.h"
#include "pilot/ingest/kube/live_objects_fake.h"
#include "pilot/leader/leadership.h"
#include "pilot/status/conditions.h"
#include "pilot/status/programmed_fake.h"
#include "pilot/validate/validate.h"
#include "test/interop/kubernetes/real_api.h"

namespace meltemi::interop {
namespace {

using pilot::Kind;
using pilot::ObjectKey;
using pilot::ObjectPtr;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr char kRules[] = "/apis/networking.istio.io/v1/namespaces/default/virtualservices/";

std::string Rule(absl::string_view host, absl::string_view version = "v1") {
  return absl::StrCat("{apiVersion: networking.istio.io/", version, ", kind: VirtualService, ",
                      "metadata: {name: r, namespace: default}, spec: {hosts: [web], http: ",
                      "[{timeout: 3s, match: [{uri: {prefix: /x}}], route: [{destination: {host: ",
                      host, "}, weight: 100}]}]}}");
}

constexpr char kApp[] = R"(
apiVersion: v1
kind: Namespace
metadata: {name: istio-system}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {ports: [{port: 80, name: http}], selector: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: default, labels: {app: web}}
spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, namespace: default, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [10.0.0.1]}]
ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: default}
type: kubernetes.io/tls
data: {tls.crt: YQ==, tls.key: Yg==}
)";

// One server for all stories, told in order: each builds on those before.
class RealKubernetes : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    auto api = RealApi::Start();
    why_not_ = new std::string(api.status().message());
    ASSERT_TRUE(api.ok() || absl::IsNotFound(api.status())) << api.status();
    if (api.ok()) api_ = api->release();
  }
  static void TearDownTestSuite() {
    delete api_;
    delete why_not_;
  }
  void SetUp() override {
    if (api_ == nullptr) GTEST_SKIP() << *why_not_;
    client_ = api_->NewClient();
    executor_ = kube::NewThreadExecutor(clock_);
    loop_ = NewEventLoop(clock_);
  }
  void TearDown() override {
    leadership_ = nullptr;
    conditions_ = nullptr;
    source_ = nullptr;
    executor_ = nullptr;
  }

  void Apply(absl::string_view yaml) {
    const machine::Finished done = api_->Kubectl({"apply"}, yaml);
    EXPECT_EQ(done.exit_status, 0) << done.output;
  }
  static std::string Does(absl::string_view words) { return api_->Does(words); }
  json::Value Get(absl::string_view path) {
    const auto answer = client_->Call({.path = std::string(path)});
    if (!answer.ok()) return json::Value();
    auto tree = json::Parse(answer->body);
    return tree.ok() ? *std::move(tree) : json::Value();
  }
  void StartSource() {
    source_ = pilot::NewKubeSource(*loop_, *client_, *executor_, {}, pilot::Validate,
                                   [this](const pilot::Changes&) { read_ = true; });
    ASSERT_TRUE(source_->Start().ok());
  }
  bool Until(const std::function<bool()>& done, int seconds_max = 60) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds_max);
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      loop_->RunOnce(milliseconds(20));
    }
    return true;
  }
  ObjectPtr InEffect(Kind kind, absl::string_view name) {
    for (const ObjectPtr& object : source_->Objects()) {
      if (object->kind == kind && object->meta.name == name) return object;
    }
    return nullptr;
  }
  std::string Host() {
    const ObjectPtr object = InEffect(Kind::kVirtualService, "r");
    if (object == nullptr) return "none";
    return object->Spec<istio::networking::v1alpha3::VirtualService>()
        .http(0)
        .route(0)
        .destination()
        .host();
  }

  static RealApi* api_;
  static std::string* why_not_;
  const SystemClock clock_;
  std::unique_ptr<Loop> loop_;
  std::unique_ptr<kube::Client> client_;
  std::unique_ptr<kube::Executor> executor_;
  bool read_ = false;
  std::unique_ptr<pilot::KubeSource> source_;
  pilot::ProgrammedFake programmed_;
  std::unique_ptr<pilot::Conditions> conditions_;
  std::unique_ptr<pilot::Leadership> leadership_;
};
RealApi* RealKubernetes::api_ = nullptr;
std::string* RealKubernetes::why_not_ = nullptr;

TEST_F(RealKubernetes, DefinitionsThatComeAreReadWithoutARestart) {
  Apply(kApp);
  StartSource();
  ASSERT_TRUE(Until([&] { return read_; }));
  EXPECT_NE(InEffect(Kind::kService, "web"), nullptr);
  EXPECT_NE(InEffect(Kind::kPod, "web-1"), nullptr);
  EXPECT_NE(InEffect(Kind::kEndpointSlice, "web-x"), nullptr);
  EXPECT_NE(InEffect(Kind::kSecret, "cert"), nullptr);
  EXPECT_FALSE(source_->Diagnostics().empty());

  Apply(pilot::CrdManifests());
  EXPECT_TRUE(Until([&] { return source_->Diagnostics().empty(); }));
  for (const json::Value& definition : pilot::CrdObjects()) {
    const absl::string_view name = definition.Find("metadata")->FindString("name");
    EXPECT_EQ(api_->Kubectl({"wait", "--for=condition=Established", "--timeout=30s",
                             absl::StrCat("crd/", name)})
                  .exit_status,
              0)
        << name;
    // A schema that is not structural is told here.
    const json::Value stored =
        Get(absl::StrCat("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/", name));
    for (const json::Value& condition : stored.Find("status", "conditions")->items()) {
      EXPECT_NE(condition.FindString("type"), "NonStructuralSchema")
          << condition.FindString("message");
    }
  }
}

TEST_F(RealKubernetes, ObjectsAreTheSameAtAllVersions) {
  for (const char* written : {"v1alpha3", "v1beta1", "v1"}) {
    Apply(Rule("web", written));
    for (const char* read : {"v1", "v1beta1", "v1alpha3"}) {
      const json::Value object = Get(absl::StrCat("/apis/networking.istio.io/", read,
                                                  "/namespaces/default/virtualservices/r"));
      ASSERT_TRUE(object.is_object());
      EXPECT_EQ(object.Find("spec", "http")->items().at(0).FindString("timeout"), "3s");
    }
  }
  EXPECT_THAT(api_->Kubectl({"get", "vs", "r"}).output, HasSubstr("[\"web\"]"));
  Apply(
      "{apiVersion: security.istio.io/v1beta1, kind: AuthorizationPolicy, metadata: {name: a}, "
      "spec: {rules: [{to: [{operation: {paths: [/x]}}]}]}}");
  EXPECT_EQ(Does("get authorizationpolicies.v1.security.istio.io a -o "
                 "jsonpath={.spec.rules[0].to[0].operation.paths[0]}"),
            "/x");
  // All of them by one word.
  EXPECT_THAT(Does("get istio-io -o name"),
              AllOf(HasSubstr("virtualservice.networking.istio.io/r"),
                    HasSubstr("authorizationpolicy.security.istio.io/a")));
}

TEST_F(RealKubernetes, ExplainKnowsTheFields) {
  EXPECT_THAT(Does("explain virtualservice.spec.http.timeout"), HasSubstr("timeout <string>"));
  EXPECT_THAT(Does("explain virtualservice.spec.http.route.weight"), HasSubstr("weight <integer>"));
  EXPECT_THAT(Does("explain destinationrule.spec.trafficPolicy.tls.mode"), HasSubstr("MUTUAL"));
  EXPECT_THAT(Does("explain vs --api-version=networking.istio.io/v1alpha3"), HasSubstr("spec"));
}

TEST_F(RealKubernetes, UnknownFieldsStayOut) {
  const auto create = [&](const char* validation) {
    return client_->Call(
        {.method = "POST",
         .path = "/apis/networking.istio.io/v1/namespaces/default/destinationrules",
         .query = {{"fieldValidation", validation}},
         .body = R"({"apiVersion":"networking.istio.io/v1","kind":"DestinationRule",)"
                 R"("metadata":{"name":"d"},"spec":{"host":"web","hots":"x"}})"});
  };
  const auto strict = create("Strict");
  ASSERT_FALSE(strict.ok());
  EXPECT_THAT(strict.status().message, HasSubstr("unknown field \"spec.hots\""));
  EXPECT_TRUE(create("Ignore").ok());
  const json::Value object =
      Get("/apis/networking.istio.io/v1/namespaces/default/destinationrules/d");
  EXPECT_EQ(object.Find("spec")->Find("hots"), nullptr);
  EXPECT_THAT(api_->Kubectl({"apply"},
                            "{apiVersion: security.istio.io/v1, kind: "
                            "PeerAuthentication, metadata: {name: p}, spec: {mtls: "
                            "{mode: LOOSE}}}")
                  .output,
              HasSubstr("LOOSE"));
}

TEST_F(RealKubernetes, ChangesArriveAndARestartTakesNothingAway) {
  StartSource();
  ASSERT_TRUE(Until([&] { return read_; }));
  EXPECT_EQ(Host(), "web");
  Apply(Rule("other"));
  EXPECT_TRUE(Until([&] { return Host() == "other"; }));

  api_->Stop();
  const size_t before = source_->Objects().size();
  EXPECT_FALSE(Until([&] { return source_->Objects().size() != before; }, 3));
  ASSERT_TRUE(api_->StartAgain().ok());
  Apply(Rule("web"));
  EXPECT_TRUE(Until([&] { return Host() == "web"; }));
}

TEST_F(RealKubernetes, WhatChangedWhileNobodyLookedAndIsForgottenIsSeen) {
  StartSource();
  ASSERT_TRUE(Until([&] { return read_; }));
  EXPECT_NE(InEffect(Kind::kSecret, "cert"), nullptr);
  api_->Stop();
  // The versions that were seen are too old afterwards (410): everything is listed again.
  ASSERT_TRUE(api_->StartAgain(/*elsewhere=*/true).ok());
  Does("delete secret cert");
  Apply(Rule("unseen"));
  const absl::Status compacted = api_->Compact();
  ASSERT_TRUE(compacted.ok()) << compacted;
  EXPECT_NE(InEffect(Kind::kSecret, "cert"), nullptr);
  api_->Stop();
  ASSERT_TRUE(api_->StartAgain().ok());
  EXPECT_TRUE(Until([&] { return Host() == "unseen"; }));
  EXPECT_TRUE(Until([&] { return InEffect(Kind::kSecret, "cert") == nullptr; }));
  EXPECT_NE(InEffect(Kind::kService, "web"), nullptr);
}

TEST_F(RealKubernetes, AStatusThatSomebodyElseChangedIsNotOverwritten) {
  Apply(Rule("web"));
  const auto read = [this] {
    const json::Value object = Get(absl::StrCat(kRules, "r"));
    const json::Value* const status = object.Find("status");
    const json::Value& meta = *object.Find("metadata");
    pilot::LiveObject live;
    live.resource = {"networking.istio.io", "v1", "virtualservices", "VirtualService", true};
    live.uid = std::string(meta.FindString("uid"));
    live.resource_version = std::string(meta.FindString("resourceVersion"));
    live.generation = std::stoll(std::string(meta.Find("generation")->text()));
    if (status != nullptr) live.status_json = json::ToString(*status);
    return live;
  };
  const ObjectKey key{.kind = Kind::kVirtualService, .ns = "default", .name = "r"};
  pilot::LiveObjectsFake live;
  const pilot::LiveObject stale = read();
  Does(R"(patch vs r --subresource=status --type=merge -p )"
       R"({"status":{"conditions":[{"type":"Theirs","status":"True"}]}})");
  auto conditions = pilot::NewConditions(*loop_, *client_, *executor_, programmed_, live);
  conditions->SetLeading(true);
  programmed_.Set(key, {.generation = stale.generation, .concerned = 1, .acknowledged = 1});
  live.Set(key, stale);
  EXPECT_TRUE(Until([&] { return conditions->stats().conflicts == 1; }));
  live.Set(key, read());
  EXPECT_TRUE(Until([&] { return conditions->stats().written == 1; }));
  EXPECT_EQ(conditions->stats().failed, 0u);
  EXPECT_EQ(Does("get vs r -o jsonpath={.status.conditions[*].type}"),
            "Theirs Accepted Programmed");
}

TEST_F(RealKubernetes, WaitingForProgrammedReturnsWhenTheProxiesHaveIt) {
  Apply(Rule("web"));
  StartSource();
  ASSERT_TRUE(Until([&] { return read_; }));
  conditions_ = pilot::NewConditions(*loop_, *client_, *executor_, programmed_, *source_);
  leadership_ = pilot::StartLeadership(*loop_, *client_, *executor_, {.identity = "pilot-1"},
                                       [this](bool leading) { conditions_->SetLeading(leading); });
  ASSERT_TRUE(Until([&] { return leadership_->leading(); }));
  const ObjectKey key{.kind = Kind::kVirtualService, .ns = "default", .name = "r"};
  ASSERT_NE(source_->Live(key), nullptr);
  const int64_t generation = source_->Live(key)->generation;
  programmed_.Set(key, {.generation = generation, .concerned = 3, .acknowledged = 2});
  ASSERT_TRUE(Until([&] { return conditions_->stats().written == 1; }));
  EXPECT_NE(
      api_->Kubectl({"wait", "--for=condition=Programmed", "--timeout=1s", "vs/r"}).exit_status, 0);
  programmed_.Set(key, {.generation = generation, .concerned = 3, .acknowledged = 3});
  ASSERT_TRUE(Until([&] { return conditions_->stats().written == 2; }));
  const machine::Finished waited =
      api_->Kubectl({"wait", "--for=condition=Programmed", "--timeout=10s", "vs/r"});
  EXPECT_EQ(waited.exit_status, 0) << waited.output;
  // Our own events make no more writes.
  EXPECT_FALSE(Until([&] { return conditions_->stats().written != 2; }, 3));
  EXPECT_EQ(conditions_->stats().failed, 0u);
  const json::Value object = Get(absl::StrCat(kRules, "r"));
  EXPECT_EQ(object.Find("status", "conditions")->items().size(), 3u);  // one is not ours
}

TEST_F(RealKubernetes, PilotsOwnTiesReadAndWrite) {
  auto access = kube::ReadKubeconfig(api_->kubeconfig());
  ASSERT_TRUE(access.ok()) << access.status();
  auto kubernetes =
      pilot::Kubernetes::Connect(*loop_, clock_, {.access = *access, .identity = "pilot-2"});
  ASSERT_TRUE(kubernetes.ok()) << kubernetes.status();
  const pilot::KubeSource& source =
      (*kubernetes)->Read(pilot::Validate, [this](const pilot::Changes&) { read_ = true; });
  ASSERT_TRUE(Until([&] { return read_; }));
  (*kubernetes)->StartWriting(programmed_);
  ASSERT_TRUE(Until([&] { return (*kubernetes)->leading(); }));
  const ObjectKey key{.kind = Kind::kDestinationRule, .ns = "default", .name = "d"};
  ASSERT_NE(source.Live(key), nullptr);
  programmed_.Set(key, {.generation = source.Live(key)->generation});
  EXPECT_TRUE(Until([&] { return !source.Live(key)->status_json.empty(); }));
}

// The last one: its webhooks would be asked about the rules of the others.
TEST_F(RealKubernetes, WhatInstallPrintsIsTakenAndGoesAgain) {
  cli::InstallSettings settings;
  settings.ingress_gateway = true;
  Apply(cli::InstallManifests(settings));
  for (const char* right : {"list virtualservices.networking.istio.io", "watch secrets",
                            "patch virtualservices.networking.istio.io --subresource=status",
                            "list customresourcedefinitions", "create tokenreviews"}) {
    std::vector<std::string> args = {"auth", "can-i", "--all-namespaces",
                                     "--as=system:serviceaccount:istio-system:meltemi-pilot"};
    for (const absl::string_view word : absl::StrSplit(right, ' ')) args.emplace_back(word);
    EXPECT_EQ(api_->Kubectl(args).exit_status, 0) << right;
  }
  EXPECT_TRUE(Get("/apis/apps/v1/namespaces/istio-system/deployments/meltemi-pilot").is_object());
  const machine::Finished gone = api_->Kubectl({"delete", "--ignore-not-found", "--wait=false"},
                                               cli::UninstallManifests(/*with_crds=*/false));
  EXPECT_EQ(gone.exit_status, 0) << gone.output;
  EXPECT_TRUE(Get(absl::StrCat(kRules, "r")).is_object());  // rules stay
}

}  // namespace
}  // namespace meltemi::interop
