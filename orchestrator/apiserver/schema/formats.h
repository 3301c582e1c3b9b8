// The string formats that custom resources' schemas may ask for (k8s.io/kube-openapi's strfmt).
//
// Threads: thread-safe.
#pragma once

#include "absl/strings/string_view.h"

namespace meltemi::apiserver {

// "date-time" and "datetime" are the same. Formats that Kubernetes does not know are never checked.
bool IsKnownFormat(absl::string_view format);
// Precondition: IsKnownFormat(format).
bool HasFormat(absl::string_view text, absl::string_view format);

}  // namespace meltemi::apiserver
