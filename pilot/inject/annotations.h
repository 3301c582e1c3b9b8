// The labels and annotations by which pods say how they want to be injected: Istio's names, and
// what their values may be.
//
// Threads: functions without state.
#pragma once

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace meltemi::pilot {

inline constexpr char kInjectName[] = "sidecar.istio.io/inject";  // label and annotation
inline constexpr char kInjectionLabel[] = "istio-injection";      // of namespaces
inline constexpr char kRevisionLabel[] = "istio.io/rev";
inline constexpr char kStatusAnnotation[] = "sidecar.istio.io/status";
inline constexpr char kOverridesAnnotation[] = "proxy.istio.io/overrides";
inline constexpr char kProxyConfigAnnotation[] = "proxy.istio.io/config";
inline constexpr char kTemplatesAnnotation[] = "inject.istio.io/templates";
inline constexpr char kProxyContainer[] = "istio-proxy";
inline constexpr char kInitContainer[] = "istio-init";
inline constexpr char kProbersEnv[] = "ISTIO_KUBE_APP_PROBERS";

// metadata.labels or metadata.annotations; entries that are no texts are left out.
using TextMap = std::map<std::string, std::string>;
TextMap TextsOf(const json::Value* object);

// The value under `name`; `otherwise` where there is none.
std::string ValueOr(const TextMap& map, absl::string_view name, absl::string_view otherwise);

// "true", "1", "t" … as Go's strconv.ParseBool; `otherwise` for what is none of them.
bool BoolOr(const TextMap& map, absl::string_view name, bool otherwise);

// Whether the values of all annotations that injection reads are what they may be. Error: the
// first that is not, and what was expected.
absl::Status CheckAnnotations(const TextMap& annotations);

}  // namespace meltemi::pilot
