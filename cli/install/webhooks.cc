#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/value.h"
#include "base/yaml/write.h"
#include "cli/install/manifests.h"
#include "pilot/inject/policy.h"

namespace meltemi::cli {
namespace {

using json::Value;

constexpr char kInjector[] = R"(---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata:
  name: meltemi-sidecar-injector
  labels:
    # pilot writes the root that its certificate is verified by into what has this label.
    app: meltemi-pilot
    app.kubernetes.io/part-of: meltemi
    istio.io/rev: default
)";

constexpr char kValidator[] = R"(---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  name: meltemi-validator
  labels:
    app: meltemi-pilot
    app.kubernetes.io/part-of: meltemi
    istio.io/rev: default
webhooks:
- name: rev.validation.istio.io
  admissionReviewVersions: [v1]
  clientConfig:
    service:
      name: meltemi-pilot
      namespace: istio-system
      path: /validate
      port: 443
  failurePolicy: Fail
  matchPolicy: Exact
  sideEffects: None
  timeoutSeconds: 10
  rules:
  - apiGroups: [networking.istio.io, security.istio.io]
    apiVersions: ["*"]
    operations: [CREATE, UPDATE]
    resources: ["*"]
    scope: Namespaced
)";

Value Text(absl::string_view text) { return Value::String(std::string(text)); }

Value OneOf(absl::string_view text) {
  Value list = Value::Array();
  list.Append(Text(text));
  return list;
}

Value InjectionHook(const pilot::WebhookSelector& selector) {
  Value hook = Value::Object();
  hook.Set("name", Text(selector.name));
  hook.Set("admissionReviewVersions", OneOf("v1"));
  Value& service = hook.MutableObject("clientConfig").MutableObject("service");
  service.Set("name", Text("meltemi-pilot"));
  service.Set("namespace", Text("istio-system"));
  service.Set("path", Text("/inject"));
  service.Set("port", Value::Int(443));
  // A pod that should have a sidecar and has none would be refused by those that have one.
  hook.Set("failurePolicy", Text("Fail"));
  hook.Set("reinvocationPolicy", Text("Never"));
  hook.Set("sideEffects", Text("None"));
  hook.Set("timeoutSeconds", Value::Int(10));
  Value rule = Value::Object();
  rule.Set("apiGroups", OneOf(""));
  rule.Set("apiVersions", OneOf("v1"));
  rule.Set("operations", OneOf("CREATE"));
  rule.Set("resources", OneOf("pods"));
  // The default, which API servers add; without it, applying again would be a change.
  rule.Set("scope", Text("*"));
  hook.Set("rules", Value::Array()).Append(std::move(rule));
  hook.Set("namespaceSelector", selector.namespaces);
  hook.Set("objectSelector", selector.objects);
  return hook;
}

}  // namespace

std::string WebhookManifests() {
  Value hooks = Value::Object();
  Value& list = hooks.Set("webhooks", Value::Array());
  for (const pilot::WebhookSelector& selector : pilot::WebhookSelectors("default")) {
    list.Append(InjectionHook(selector));
  }
  return absl::StrCat(kInjector, yaml::ToYaml(hooks), kValidator);
}

}  // namespace meltemi::cli
