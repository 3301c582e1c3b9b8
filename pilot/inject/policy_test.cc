// Who gets a sidecar: Istio's rules, one row each.
#include "pilot/inject/policy.h"

#include <string>
#include <utility>
#include <vector>

#include "base/yaml/parse.h"
#include "gtest/gtest.h"

namespace meltemi::pilot {
namespace {

json::Value Pod(const std::string& yaml) {
  absl::StatusOr<json::Value> pod = yaml::Parse(yaml);
  EXPECT_TRUE(pod.ok()) << pod.status();
  return pod.ok() ? *std::move(pod) : json::Value::Object();
}

InjectSettings Settings(const std::string& yaml) {
  absl::StatusOr<InjectSettings> settings = ParseInjectSettings(yaml);
  EXPECT_TRUE(settings.ok()) << settings.status();
  return settings.ok() ? *std::move(settings) : InjectSettings();
}

TEST(PolicyTest, PodsSayWhatTheyWantInIstiosOrder) {
  const std::string never = "neverInjectSelector: [{matchLabels: {batch: \"yes\"}}]\n";
  const std::string always = "alwaysInjectSelector: [{matchLabels: {mesh: \"yes\"}}]\n";
  const std::string off = "policy: disabled\n";
  struct Row {
    std::string about, settings, ns, pod;
    bool inject;
  };
  const std::string spec = "spec: {containers: [{name: a}]}\n";
  const Row rows[] = {
      {"nothing said, enabled", "", "default", spec, true},
      {"nothing said, disabled", off, "default", spec, false},
      {"host network", "", "default",
       "metadata: {labels: {sidecar.istio.io/inject: 'true'}}\nspec: {hostNetwork: true}", false},
      {"kube-system", "", "kube-system",
       "metadata: {labels: {sidecar.istio.io/inject: 'true'}}\n" + spec, false},
      {"kube-node-lease", "", "kube-node-lease", spec, false},
      {"label true, disabled", off, "default",
       "metadata: {labels: {sidecar.istio.io/inject: 'true'}}\n" + spec, true},
      {"label false", "", "default",
       "metadata: {labels: {sidecar.istio.io/inject: 'false'}}\n" + spec, false},
      {"annotation false", "", "default",
       "metadata: {annotations: {sidecar.istio.io/inject: 'false'}}\n" + spec, false},
      {"annotation true, disabled", off, "default",
       "metadata: {annotations: {sidecar.istio.io/inject: 'true'}}\n" + spec, true},
      {"the label comes before the annotation", "", "default",
       "metadata: {labels: {sidecar.istio.io/inject: 'true'}, annotations: "
       "{sidecar.istio.io/inject: 'false'}}\n" +
           spec,
       true},
      {"other words say nothing", off, "default",
       "metadata: {labels: {sidecar.istio.io/inject: 'yes'}}\n" + spec, false},
      {"an empty label hides the annotation", off, "default",
       "metadata: {labels: {sidecar.istio.io/inject: ''}, annotations: "
       "{sidecar.istio.io/inject: 'true'}}\n" +
           spec,
       false},
      {"never", never, "default", "metadata: {labels: {batch: 'yes'}}\n" + spec, false},
      {"always", always + off, "default", "metadata: {labels: {mesh: 'yes'}}\n" + spec, true},
      {"never before always", never + always, "default",
       "metadata: {labels: {batch: 'yes', mesh: 'yes'}}\n" + spec, false},
      {"the label before never", never, "default",
       "metadata: {labels: {batch: 'yes', sidecar.istio.io/inject: 'true'}}\n" + spec, true},
      {"an empty selector says nothing", "neverInjectSelector: [{}]\n", "default", spec, true},
  };
  for (const Row& row : rows) {
    const InjectDecision decision = DecideInjection(Pod(row.pod), row.ns, Settings(row.settings));
    EXPECT_EQ(decision.inject, row.inject) << row.about << ": " << decision.why;
    EXPECT_FALSE(decision.why.empty()) << row.about;
  }
}

TEST(PolicyTest, WebhooksSelectByNamespaceThenByPod) {
  struct Row {
    TextMap of_namespace, of_pod;
    std::string revision, reached;
  };
  const TextMap none;
  const TextMap enabled = {{"istio-injection", "enabled"}};
  const TextMap disabled = {{"istio-injection", "disabled"}};
  const TextMap canary = {{"istio.io/rev", "canary"}};
  const TextMap wanted = {{"sidecar.istio.io/inject", "true"}};
  const TextMap refused = {{"sidecar.istio.io/inject", "false"}};
  const Row rows[] = {
      {none, none, "default", ""},
      {enabled, none, "default", "namespace.sidecar-injector.istio.io"},
      {enabled, refused, "default", ""},
      {disabled, wanted, "default", ""},
      {none, wanted, "default", "object.sidecar-injector.istio.io"},
      {canary, none, "default", ""},
      {canary, none, "canary", "rev.namespace.sidecar-injector.istio.io"},
      {canary, refused, "canary", ""},
      {enabled, none, "canary", ""},
      {none, canary, "canary", "rev.object.sidecar-injector.istio.io"},
      {none, canary, "default", ""},
      {enabled, canary, "canary", ""},
      {{{"istio-injection", "enabled"}, {"istio.io/rev", "canary"}}, none, "canary", ""},
      {{{"istio.io/rev", "default"}}, none, "default", "rev.namespace.sidecar-injector.istio.io"},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(WebhookSelects(row.of_namespace, row.of_pod, row.revision), row.reached)
        << "row " << &row - rows;
  }
  EXPECT_EQ(WebhookSelectors("default").size(), 4u);
}

TEST(SettingsTest, UnknownKeysAndBadValuesAreToldWithTheirLine) {
  const std::pair<const char*, const char*> wrong[] = {
      {"image: a\nimages: b\n", "line 2: images is no injection setting"},
      {"cni: yes please\n", "line 1: cni must be true or false"},
      {"resources: {requests: {cpu: lots}}\n", "no quantity"},
      {"neverInjectSelector: {a: b}\n", "must be a list of label selectors"},
      {"statusPort: 70000\n", "must be a number from 1 to 65535"},
      {"defaultConfig: {drainDuration: soon}\n", "must be a duration"},
      {"- a\n", "must be one mapping"},
  };
  for (const auto& [text, message] : wrong) {
    const absl::StatusOr<InjectSettings> settings = ParseInjectSettings(text);
    ASSERT_FALSE(settings.ok()) << text;
    EXPECT_NE(settings.status().message().find(message), absl::string_view::npos)
        << settings.status();
  }
  const InjectSettings settings = Settings(
      "image: hub/proxy:2\ncni: true\nnativeSidecars: false\ndefaultConfig: {concurrency: 4}\n"
      "resources: {limits: {cpu: '2', memory: 1Gi}}\n");
  EXPECT_EQ(settings.image, "hub/proxy:2");
  EXPECT_TRUE(settings.cni);
  EXPECT_EQ(settings.native_sidecars, NativeSidecars::kNever);
  EXPECT_EQ(settings.proxy_config.concurrency, 4u);
  EXPECT_EQ(settings.resources.memory_limit, "1Gi");
  EXPECT_EQ(settings.resources.cpu_request, "10m");
}

}  // namespace
}  // namespace meltemi::pilot
