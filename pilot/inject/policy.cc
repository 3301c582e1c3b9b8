#include "pilot/inject/policy.h"

#include <algorithm>
#include <initializer_list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/selector/selector.h"

namespace meltemi::pilot {
namespace {

using json::Value;

kube::StringPairs PairsOf(const TextMap& labels) { return {labels.begin(), labels.end()}; }

// The first selector that says something about these labels; an empty one says nothing.
bool AnyMatches(const std::vector<kube::LabelSelector>& selectors, const TextMap& labels) {
  const kube::StringPairs pairs = PairsOf(labels);
  return std::any_of(selectors.begin(), selectors.end(), [&](const kube::LabelSelector& selector) {
    return !selector.empty() && selector.Matches(pairs);
  });
}

Value Expression(absl::string_view key, absl::string_view op,
                 std::initializer_list<absl::string_view> values = {}) {
  Value expression = Value::Object();
  expression.Set("key", Value::String(std::string(key)));
  expression.Set("operator", Value::String(std::string(op)));
  if (values.size() == 0) return expression;
  Value& list = expression.Set("values", Value::Array());
  for (absl::string_view value : values) list.Append(Value::String(std::string(value)));
  return expression;
}

Value Selector(std::initializer_list<Value> expressions) {
  Value selector = Value::Object();
  Value& list = selector.Set("matchExpressions", Value::Array());
  for (const Value& expression : expressions) list.Append(expression);
  return selector;
}

}  // namespace

bool IsIgnoredNamespace(absl::string_view ns) {
  return ns == "kube-system" || ns == "kube-public" || ns == "kube-node-lease" ||
         ns == "local-path-storage";
}

InjectDecision DecideInjection(const Value& pod, absl::string_view ns,
                               const InjectSettings& settings) {
  const Value* const host_network = pod.Find("spec", "hostNetwork");
  if (host_network != nullptr && host_network->bool_value()) {
    return {false, "the pod is on the host's network"};
  }
  if (IsIgnoredNamespace(ns)) return {false, absl::StrCat("namespace ", ns, " is never injected")};
  const TextMap labels = TextsOf(pod.Find("metadata", "labels"));
  const TextMap annotations = TextsOf(pod.Find("metadata", "annotations"));
  const bool by_label = labels.count(kInjectName) > 0;
  const std::string said = ValueOr(by_label ? labels : annotations, kInjectName, "");
  const char* const what = by_label ? "label " : "annotation ";
  // Anything but these two values says nothing.
  if (said == "true" || said == "false") {
    return {said == "true", absl::StrCat("the pod's ", what, kInjectName, " is ", said)};
  }
  if (AnyMatches(settings.never_inject, labels)) {
    return {false, "the pod's labels match neverInjectSelector"};
  }
  if (AnyMatches(settings.always_inject, labels)) {
    return {true, "the pod's labels match alwaysInjectSelector"};
  }
  return {settings.policy_enabled,
          absl::StrCat("the mesh's policy is ", settings.policy_enabled ? "enabled" : "disabled")};
}

std::vector<WebhookSelector> WebhookSelectors(absl::string_view revision) {
  const Value not_refused = Expression(kInjectName, "NotIn", {"false"});
  const Value no_injection_label = Expression(kInjectionLabel, "DoesNotExist");
  const Value no_revision = Expression(kRevisionLabel, "DoesNotExist");
  const Value of_revision = Expression(kRevisionLabel, "In", {revision});
  const std::string name = "sidecar-injector.istio.io";
  std::vector<WebhookSelector> all = {
      {absl::StrCat("rev.namespace.", name), Selector({of_revision, no_injection_label}),
       Selector({not_refused})},
      {absl::StrCat("rev.object.", name), Selector({no_revision, no_injection_label}),
       Selector({not_refused, of_revision})},
  };
  if (revision != "default") return all;
  all.push_back({absl::StrCat("namespace.", name),
                 Selector({Expression(kInjectionLabel, "In", {"enabled"})}),
                 Selector({not_refused})});
  all.push_back({absl::StrCat("object.", name), Selector({no_injection_label, no_revision}),
                 Selector({Expression(kInjectName, "In", {"true"}), no_revision})});
  return all;
}

std::string WebhookSelects(const TextMap& namespace_labels, const TextMap& pod_labels,
                           absl::string_view revision) {
  const kube::StringPairs of_namespace = PairsOf(namespace_labels);
  const kube::StringPairs of_pod = PairsOf(pod_labels);
  for (const WebhookSelector& hook : WebhookSelectors(revision)) {
    const absl::StatusOr<kube::LabelSelector> namespaces =
        kube::LabelSelector::FromJson(&hook.namespaces);
    const absl::StatusOr<kube::LabelSelector> objects =
        kube::LabelSelector::FromJson(&hook.objects);
    if (namespaces.ok() && objects.ok() && namespaces->Matches(of_namespace) &&
        objects->Matches(of_pod)) {
      return hook.name;
    }
  }
  return "";
}

}  // namespace meltemi::pilot
