// The whole mesh on a real kube-apiserver: what install prints, applied as users apply it; pilot as
// the account that it makes, with no other rights; webhooks that the server calls; a real proxy
// with a pod's token; and all of it taken away. There are no nodes: pods are what the test writes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "base/net/address.h"
#include "test/interop/kubernetes/real_api.h"
#include "test/machine/process.h"
#include "test/scenarios/programs.h"

namespace meltemi::interop {
namespace {

using json::Value;
using machine::Eventually;
using machine::Process;
using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// The address of the network card that isolated_main makes.
constexpr char kHost[] = "198.51.100.10";

constexpr char kEndpoints[] = R"(
apiVersion: v1
kind: Endpoints
metadata: {name: meltemi-pilot, namespace: istio-system}
subsets:
- addresses: [{ip: 198.51.100.10}]
  ports: [{name: https-webhook, port: @1@}, {name: grpc-xds, port: @2@}]
)";

constexpr char kApp[] = R"(
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {ports: [{port: 80, name: http, targetPort: 8080}], selector: {app: web}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-x, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [198.51.100.77]}]
ports: [{name: http, port: 8080}]
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, labels: {app: web}}
spec:
  nodeName: nobody
  containers:
  - name: c
    image: i
    ports: [{containerPort: 8080}]
    readinessProbe: {httpGet: {path: /ok, port: 8080}}
)";

constexpr char kRule[] = R"(
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: r}
spec: {hosts: [web], http: [{timeout: 3s, route: [{destination: {host: web}}]}]}
)";

constexpr char kBehindNothing[] = R"(
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: hole}
spec: {hosts: [web], http: [{route: [{destination: {host: web}, weight: -1}]}]}
)";

constexpr char kRestricted[] = R"(
apiVersion: v1
kind: Namespace
metadata: {name: strict, labels: {pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: strict}
)";

constexpr char kWellBehaved[] = R"(
apiVersion: v1
kind: Pod
metadata: {name: good, namespace: strict}
spec:
  securityContext: {runAsNonRoot: true, runAsUser: 1000, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: c
    image: i
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
)";

std::string Tool() { return scenarios::WorkspaceFile("cli/meltemi"); }

std::string Prints(const std::vector<std::string>& words) {
  std::vector<std::string> argv = {Tool()};
  argv.insert(argv.end(), words.begin(), words.end());
  const machine::Finished done = machine::RunToEnd({.argv = argv}, seconds(30));
  EXPECT_EQ(done.exit_status, 0) << done.output;
  return done.output;
}

bool HasHostAddress() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const net::Address address = *net::Address::FromIp(kHost, 0);
  const bool bound = bind(fd, address.raw(), address.raw_length()) == 0;
  close(fd);
  return bound;
}

std::vector<std::string> TextsOf(const Value* list) {
  std::vector<std::string> out;
  if (list == nullptr) return out;
  for (const Value& one : list->items()) out.emplace_back(one.text());
  return out;
}

// One server for all stories, told in order: each builds on those before.
class RealMesh : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    why_not_ = new std::string();
    if (!HasHostAddress()) {
      *why_not_ = "a network of its own takes root";
      return;
    }
    auto api = RealApi::Start();
    *why_not_ = std::string(api.status().message());
    ASSERT_TRUE(api.ok() || absl::IsNotFound(api.status())) << api.status();
    if (api.ok()) api_ = api->release();
  }
  static void TearDownTestSuite() {
    pilots_.clear();
    delete api_;
    delete why_not_;
  }
  void SetUp() override {
    if (api_ == nullptr) GTEST_SKIP() << *why_not_;
  }
  void TearDown() override {
    if (!HasFailure()) return;
    for (const auto& [name, pilot] : pilots_) {
      const std::string log = pilot.Output();
      std::printf("--- %s\n%s\n", name.c_str(),
                  log.substr(log.size() - std::min<size_t>(log.size(), 6000)).c_str());
    }
  }

  static std::string Does(absl::string_view words, absl::string_view input = "") {
    return api_->Does(words, input);
  }
  static Value Get(absl::string_view words) {
    auto tree = json::Parse(Does(absl::StrCat("get -o json ", words)));
    EXPECT_TRUE(tree.ok()) << words << ": " << tree.status();
    return tree.ok() ? *std::move(tree) : Value();
  }

  // Pilot as the Deployment runs it, but for where it finds the API server and what it listens at.
  static void StartPilot(const std::string& name, absl::string_view ports) {
    const Value deployment = Get("-n istio-system deployment meltemi-pilot");
    const Value settings = Get("-n istio-system configmap meltemi");
    const std::string inject = api_->folder() + "/inject.yaml";
    machine::WriteFile(inject, settings.Find("data")->FindString("inject.yaml"));
    const std::string access = api_->KubeconfigOf("istio-system", "meltemi-pilot");
    const Value& spec = *deployment.Find("spec", "template", "spec");
    std::vector<std::string> argv = {scenarios::BuiltPrograms().pilot};
    for (const std::string& arg : TextsOf(spec.Find("containers")->items().at(0).Find("args"))) {
      argv.push_back(absl::StrReplaceAll(arg, {{"--in-cluster", "--kubeconfig=" + access},
                                               {"/etc/meltemi/inject.yaml", inject},
                                               {"$(POD_NAME)", name},
                                               {":150", ports}}));
    }
    auto started =
        Process::Start({.argv = argv, .output_path = absl::StrCat(api_->folder(), "/", name)});
    ASSERT_TRUE(started.ok()) << started.status();
    pilots_[name] = *std::move(started);
  }
  // Its endpoints' controller would write it.
  static void PointServiceAt(absl::string_view ports) {
    Does("apply", absl::StrReplaceAll(kEndpoints, {{"@1@", absl::StrCat(ports, "17")},
                                                   {"@2@", absl::StrCat(ports, "12")}}));
  }
  static bool Logs(const std::string& pilot, absl::string_view text, int seconds_max = 30) {
    return Eventually([&] { return absl::StrContains(pilots_[pilot].Output(), text); },
                      seconds(seconds_max));
  }
  static bool HasRoots(const std::string& ns) {
    return api_->Kubectl({"-n", ns, "get", "configmap", "istio-ca-root-cert"}).exit_status == 0;
  }

  // A token as the kubelet gets one for the pod's volume.
  static std::string TokenOf(const std::string& pod, absl::string_view audience = "istio-ca") {
    const Value object = Get("pod " + pod);
    return Does(absl::StrCat("create token default --duration=1h --bound-object-kind=Pod",
                             " --audience=", audience, " --bound-object-name=", pod,
                             " --bound-object-uid=", object.Find("metadata")->FindString("uid")));
  }
  // The injected container's program, where it finds what the kubelet would put there.
  static absl::StatusOr<Process> StartProxy(const Value& pod, const std::string& token);

  static RealApi* api_;
  static std::string* why_not_;
  static std::map<std::string, Process> pilots_;
};
RealApi* RealMesh::api_ = nullptr;
std::string* RealMesh::why_not_ = nullptr;
std::map<std::string, Process> RealMesh::pilots_;

absl::StatusOr<Process> RealMesh::StartProxy(const Value& pod, const std::string& token) {
  const std::string folder = api_->folder();
  const auto file = [&folder](const char* name, absl::string_view text) {
    machine::WriteFile(absl::StrCat(folder, "/", name), text);
    return absl::StrCat(folder, "/", name);
  };
  const Value roots = Get("configmap istio-ca-root-cert");
  const std::vector<std::pair<std::string, std::string>> places = {
      {"/var/run/secrets/tokens/istio-token", file("token", token)},
      {"/var/run/secrets/istio/root-cert.pem",
       file("roots.pem", roots.Find("data")->FindString("root-cert.pem"))},
      {"/etc/istio/pod/labels", file("labels", "app=\"web\"\n")},
      {"$(POD_NAME)", std::string(pod.Find("metadata")->FindString("name"))},
      {"$(POD_NAMESPACE)", "default"},
      {"$(SERVICE_ACCOUNT)", "default"},
      {"$(INSTANCE_IP)", kHost},
      {"$(NODE_NAME)", "nobody"},
      {"$(ISTIO_KUBE_APP_PROBERS)", "{}"},
      {"=warn", "=info"},
  };
  const Value* container = nullptr;
  for (const Value& one : pod.Find("spec", "initContainers")->items()) {
    if (one.FindString("name") == "istio-proxy") container = &one;
  }
  if (container == nullptr) return absl::NotFoundError("no sidecar");
  file("proxy.log", "");
  std::vector<std::string> argv = {scenarios::BuiltPrograms().proxy};
  for (const std::string& arg : TextsOf(container->Find("args"))) {
    argv.push_back(absl::StrReplaceAll(arg, places));
  }
  return Process::Start(
      {.argv = argv,
       .hosts_file = file("hosts", absl::StrCat(kHost, " meltemi-pilot.istio-system.svc\n")),
       .resolv_file = file("resolv.conf", "nameserver 127.0.0.1\n"),
       .output_path = folder + "/proxy.log"});
}

std::string Curl(const std::string& url) {
  return machine::RunToEnd({.argv = {"curl", "-s", "-m", "5", url}}, seconds(10)).output;
}

bool ProxyIsReady() {
  return machine::RunToEnd(
             {.argv = {"curl", "-sf", "-m", "5", "http://127.0.0.1:15021/healthz/ready"}},
             seconds(10))
             .exit_status == 0;
}

TEST_F(RealMesh, InstallIsTakenHoweverItIsApplied) {
  const std::string manifests = Prints({"install", "--set", "gateways.ingress=true"});
  EXPECT_THAT(Does("apply", manifests), Not(HasSubstr("Warning")));
  for (const char* how : {"apply", "apply --dry-run=server"}) {
    const std::string again = Does(how, manifests);
    for (const absl::string_view line : absl::StrSplit(again, '\n')) {
      // kubectl always sends the selectors of these.
      if (absl::StartsWith(line, "poddisruptionbudget")) continue;
      EXPECT_THAT(std::string(line), HasSubstr("unchanged")) << how;
    }
  }
  for (const char* how : {"apply --server-side", "apply --server-side", "apply"}) {
    EXPECT_THAT(Does(how, manifests), AllOf(Not(HasSubstr("onflict")), Not(HasSubstr("Warning"))))
        << how;
  }
  EXPECT_EQ(api_->Kubectl({"diff"}, manifests).exit_status, 0);
}

TEST_F(RealMesh, PilotRunsAsTheAccountThatInstallMakes) {
  PointServiceAt("150");
  StartPilot("pilot-a", ":150");
  EXPECT_TRUE(Logs("pilot-a", "pilot-a leads"));
  EXPECT_TRUE(
      Eventually([] { return HasRoots("default") && HasRoots("istio-system"); }, seconds(20)));
  // The root that the server verifies pilot's certificate by, in every webhook of ours.
  for (const char* kind : {"mutatingwebhookconfiguration", "validatingwebhookconfiguration"}) {
    EXPECT_TRUE(Eventually(
        [kind] {
          const Value list = Get(absl::StrCat(kind, " -l app=meltemi-pilot"));
          for (const Value& object : list.Find("items")->items()) {
            for (const Value& hook : object.Find("webhooks")->items()) {
              if (hook.Find("clientConfig")->FindString("caBundle").empty()) return false;
            }
          }
          return !list.Find("items")->items().empty();
        },
        seconds(20)))
        << kind;
  }
  // Applied once more it stays there.
  EXPECT_THAT(Does("apply", Prints({"install", "--set", "gateways.ingress=true"})),
              Not(HasSubstr("webhook.istio.io configured")));
}

TEST_F(RealMesh, PodsAreInjectedByTheServersOwnCall) {
  Does("label namespace default istio-injection=enabled");
  EXPECT_THAT(Does("apply", kApp), Not(HasSubstr("Warning")));
  const Value pod = Get("pod web-1");
  std::map<std::string, std::string> restarts;
  for (const Value& one : pod.Find("spec", "initContainers")->items()) {
    restarts[std::string(one.FindString("name"))] = std::string(one.FindString("restartPolicy"));
  }
  EXPECT_EQ(restarts["istio-proxy"], "Always");
  EXPECT_EQ(restarts.count("istio-init"), 1u);
  const Value& app = pod.Find("spec", "containers")->items().at(0);
  EXPECT_EQ(app.Find("readinessProbe", "httpGet")->FindString("path"), "/app-health/c/readyz");

  const std::string another = absl::StrReplaceAll(
      kApp, {{"web-1, ", "web-2, annotations: {sidecar.istio.io/interceptionMode: X}, "}});
  const machine::Finished refused = api_->Kubectl({"apply"}, another);
  EXPECT_NE(refused.exit_status, 0);
  EXPECT_THAT(refused.output,
              AllOf(HasSubstr("denied the request"), HasSubstr("interceptionMode")));
  Does("apply --dry-run=server", absl::StrReplaceAll(kApp, {{"web-1", "web-3"}}));
  EXPECT_NE(api_->Kubectl({"get", "pod", "web-3"}).exit_status, 0);
}

TEST_F(RealMesh, PodSecurityOfTheStrictestKindTakesWhatIsInjected) {
  Does("apply", kRestricted);
  const std::string folder = api_->folder();
  machine::WriteFile(folder + "/good.yaml", kWellBehaved);
  Does("apply", Prints({"inject", "--set", "cni=true", "-f", folder + "/good.yaml"}));
  // Pilot's own pods and the gateway's.
  for (const char* name : {"meltemi-pilot", "istio-ingressgateway"}) {
    Value pod = *Get(absl::StrCat("-n istio-system deployment ", name)).Find("spec", "template");
    pod.Set("apiVersion", Value::String("v1"));
    pod.Set("kind", Value::String("Pod"));
    pod.MutableObject("metadata").Set("name", Value::String(name));
    pod.MutableObject("metadata").Set("namespace", Value::String("strict"));
    pod.MutableObject("spec").Set("serviceAccountName", Value::String("default"));
    Does("apply --dry-run=server", json::ToString(pod));
  }
}

TEST_F(RealMesh, RulesAreLookedAtBeforeTheyAreKept) {
  const machine::Finished refused = api_->Kubectl({"apply"}, kBehindNothing);
  EXPECT_NE(refused.exit_status, 0);
  EXPECT_THAT(refused.output, HasSubstr("weight"));
  const machine::Finished twice = api_->Kubectl(
      {"apply"}, absl::StrReplaceAll(kRule, {{"[web]", "[web, web]"}, {"name: r", "name: twice"}}));
  EXPECT_NE(twice.exit_status, 0) << twice.output;
  EXPECT_THAT(twice.output, HasSubstr("denied the request"));
  Does("apply", kRule);
  Does("delete virtualservice r");
}

TEST_F(RealMesh, AProxyWithThePodsTokenGetsItsConfiguration) {
  const Value pod = Get("pod web-1");
  Does(absl::StrCat("patch pod web-1 --subresource=status -p ",
                    R"({"status":{"phase":"Running","podIP":")", kHost, R"(","podIPs":[{"ip":")",
                    kHost, R"("}]}})"));
  auto proxy = StartProxy(pod, TokenOf("web-1"));
  ASSERT_TRUE(proxy.ok()) << proxy.status();
  EXPECT_TRUE(Eventually(ProxyIsReady, seconds(30))) << proxy->Output();
  const std::string clusters = Curl("http://127.0.0.1:15000/config_dump");
  EXPECT_THAT(clusters, HasSubstr("outbound|80||web.default.svc.cluster.local"));
  EXPECT_THAT(clusters, HasSubstr("inbound|8080||"));
  // What `kubectl wait` waits for is this one proxy's acknowledgement.
  Does("apply", kRule);
  Does("wait --for=condition=Programmed --timeout=20s virtualservice/r");
  EXPECT_THAT(Does("get virtualservice r -o "
                   "jsonpath={.status.conditions[?(@.type==\"Programmed\")].message}"),
              HasSubstr("1 of 1 proxy"));
  Does("apply",
       "{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: all}, spec: "
       "{mtls: {mode: STRICT}}}");
  EXPECT_TRUE(Eventually(
      [] { return absl::StrContains(Curl("http://127.0.0.1:15014/debug/syncz"), "web-1"); },
      seconds(10)));
  EXPECT_THAT(Curl(absl::StrCat("http://", kHost, ":15014/debug/syncz")),
              AllOf(Not(HasSubstr("web-1")), HasSubstr("for callers")));
  proxy->Signal(SIGTERM);
  EXPECT_EQ(proxy->Wait(seconds(20)), 0) << proxy->Output();
}

TEST_F(RealMesh, OtherTokensAreRefused) {
  const Value pod = Get("pod web-1");
  {
    auto proxy = StartProxy(pod, TokenOf("web-1", "somebody-else"));
    ASSERT_TRUE(proxy.ok()) << proxy.status();
    EXPECT_TRUE(Logs("pilot-a", "the token is not valid")) << proxy->Output();
    EXPECT_FALSE(ProxyIsReady());
  }
  const std::string token = TokenOf("web-1");
  Does("delete pod web-1 --grace-period=0 --force");
  auto proxy = StartProxy(pod, token);
  ASSERT_TRUE(proxy.ok()) << proxy.status();
  EXPECT_TRUE(Eventually([&] { return absl::StrContains(proxy->Output(), "token is not valid"); },
                         seconds(20)))
      << proxy->Output();
}

TEST_F(RealMesh, WhatOthersChangeIsPutRight) {
  Does("patch configmap istio-ca-root-cert -p {\"data\":{\"root-cert.pem\":\"nothing\"}}");
  EXPECT_TRUE(Eventually(
      [] {
        const Value map = Get("configmap istio-ca-root-cert");
        return absl::StrContains(map.Find("data")->FindString("root-cert.pem"), "BEGIN");
      },
      seconds(20)));
  Does("create namespace another");
  EXPECT_TRUE(Eventually([] { return HasRoots("another"); }, seconds(20)));
}

TEST_F(RealMesh, AnotherReplicaTakesOver) {
  StartPilot("pilot-b", ":160");
  EXPECT_TRUE(Logs("pilot-b", "webhooks on"));
  pilots_["pilot-a"].Signal(SIGTERM);
  EXPECT_EQ(pilots_["pilot-a"].Wait(seconds(10)), 0);
  EXPECT_TRUE(Logs("pilot-b", "pilot-b leads"));
  PointServiceAt("160");
  Does("create namespace later");
  EXPECT_TRUE(Eventually([] { return HasRoots("later"); }, seconds(20)));
  // Both are of one authority: what the webhooks are verified by has not changed.
  EXPECT_TRUE(
      Eventually([] { return api_->Kubectl({"apply"}, kApp).exit_status == 0; }, seconds(30)));
  EXPECT_NE(Get("pod web-1").Find("spec", "initContainers"), nullptr);
}

// Of a rule's verbs on resources those that nobody used.
void ExpectUsed(const Value& role, const std::vector<Value>& events) {
  const auto used = [&events](const std::string& group, const std::string& resource,
                              const std::string& verb) {
    const std::pair<std::string, std::string> parts =
        absl::StrSplit(resource, absl::MaxSplits('/', 1));
    for (const Value& event : events) {
      const Value* object = event.Find("objectRef");
      if (object == nullptr || event.FindString("verb") != verb) continue;
      if (object->FindString("apiGroup") != group) continue;
      if (object->FindString("subresource") != parts.second) continue;
      if (parts.first == "*" || object->FindString("resource") == parts.first) return true;
    }
    return false;
  };
  for (const Value& rule : role.Find("rules")->items()) {
    for (const std::string& group : TextsOf(rule.Find("apiGroups"))) {
      for (const std::string& resource : TextsOf(rule.Find("resources"))) {
        for (const std::string& verb : TextsOf(rule.Find("verbs"))) {
          EXPECT_TRUE(used(group, resource, verb))
              << "nobody needs: " << verb << " " << resource << " of \"" << group << "\"";
        }
      }
    }
  }
}

TEST_F(RealMesh, ThePilotsRightsAreThoseThatItUses) {
  const std::vector<Value> events = api_->Audit();
  EXPECT_GT(events.size(), 50u);
  for (const Value& event : events) {
    const Value* code = event.Find("responseStatus", "code");
    ASSERT_NE(code, nullptr);
    EXPECT_NE(code->text(), "403") << json::ToString(event);
    EXPECT_NE(code->text(), "401") << json::ToString(event);
  }
  ExpectUsed(Get("clusterrole meltemi-pilot"), events);
  ExpectUsed(Get("-n istio-system role meltemi-pilot"), events);
  for (const auto& [name, pilot] : pilots_) {
    EXPECT_THAT(pilot.Output(), Not(HasSubstr("forbidden"))) << name;
  }
}

TEST_F(RealMesh, AServerOfAnotherAuthorityIsNotBelieved) {
  api_->Stop();
  api_->ChangeAuthority();
  ASSERT_TRUE(api_->StartAgain().ok());
  EXPECT_TRUE(Logs("pilot-b", "certificate verify failed"));
  EXPECT_TRUE(pilots_["pilot-b"].running());
  const size_t before = pilots_["pilot-b"].Output().size();
  EXPECT_TRUE(Logs("pilot-b", "no longer leads"));
  // It backs off.
  EXPECT_LT(pilots_["pilot-b"].Output().size(), before + 40000);
  pilots_.erase("pilot-b");
  StartPilot("pilot-c", ":150");
  PointServiceAt("150");
  EXPECT_TRUE(Logs("pilot-c", "pilot-c leads", 60));
}

// The last one.
TEST_F(RealMesh, UninstallLeavesPodsAndRulesAlone) {
  const std::string manifests = Prints({"uninstall"});
  const size_t hooks = manifests.find("kind: ValidatingWebhookConfiguration");
  EXPECT_LT(hooks, manifests.find("kind: Deployment"));
  EXPECT_LT(hooks, manifests.find("kind: ClusterRole"));
  Does("delete --ignore-not-found", manifests);
  Does("delete --ignore-not-found", manifests);
  pilots_.clear();
  Does("apply", absl::StrReplaceAll(kApp, {{"web-1", "web-9"}}));
  EXPECT_EQ(Get("pod web-9").Find("spec", "initContainers"), nullptr);
  EXPECT_NE(Get("pod web-1").Find("spec", "initContainers"), nullptr);
  Does("get virtualservice r");
  Does("apply", absl::StrReplaceAll(kRule, {{"3s", "4s"}}));
  EXPECT_THAT(Does("get all,configmap,role,rolebinding,pdb -n istio-system -o name"),
              AllOf(Not(HasSubstr("meltemi-pilot")), Not(HasSubstr("gateway"))));
  EXPECT_EQ(Does("get clusterrole,clusterrolebinding,mutatingwebhookconfiguration,"
                 "validatingwebhookconfiguration -l app.kubernetes.io/part-of=meltemi -o name"),
            "");
  // Whoever wants none of it left.
  Does("delete --ignore-not-found --timeout=60s", Prints({"uninstall", "--crds"}));
  EXPECT_THAT(Does("get crd -o name"), Not(HasSubstr("istio.io")));
}

}  // namespace
}  // namespace meltemi::interop
