// Whether a pod gets a sidecar: Istio's rules and their precedence.
//
//   1. the webhooks' selectors: labels of the namespace and of the pod (WebhookSelects)
//   2. never: pods on the host's network, pods of the cluster's own namespaces
//   3. the pod's label sidecar.istio.io/inject, else its annotation of that name
//   4. neverInjectSelector, then alwaysInjectSelector
//   5. the mesh's policy
//
// Threads: functions without state.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "pilot/inject/annotations.h"
#include "pilot/inject/settings.h"

namespace meltemi::pilot {

// kube-system and its like.
bool IsIgnoredNamespace(absl::string_view ns);

struct InjectDecision {
  bool inject = false;
  std::string why;  // one clause, for logs and for `meltemi inject`
};

// Steps 2 to 5. `pod`: metadata and spec.
InjectDecision DecideInjection(const json::Value& pod, absl::string_view ns,
                               const InjectSettings& settings);

// One webhook of the MutatingWebhookConfiguration: a pod reaches it when both selectors match.
struct WebhookSelector {
  std::string name;                 // "namespace.sidecar-injector.istio.io"
  json::Value namespaces, objects;  // metav1.LabelSelector
};
// Istio's four for the revision "default", two for any other.
std::vector<WebhookSelector> WebhookSelectors(absl::string_view revision);

// Step 1, for who looks from outside: the name of the webhook that a pod reaches, "" when none.
std::string WebhookSelects(const TextMap& namespace_labels, const TextMap& pod_labels,
                           absl::string_view revision);

}  // namespace meltemi::pilot
