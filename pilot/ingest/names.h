// The grammars of names in Kubernetes. Each function returns what is wrong, or nothing.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::pilot {

// RFC 1123 label: lower-case letters, digits and "-", at most 63, alphanumeric at both ends.
std::string WhyNoDnsLabel(absl::string_view name);
// RFC 1123 subdomain: labels joined by ".", at most 253.
std::string WhyNoDnsSubdomain(absl::string_view name);

// Label keys: an optional DNS prefix and "/", then a name of at most 63 of [A-Za-z0-9_.-].
std::string WhyNoLabelKey(absl::string_view key);
std::string WhyNoLabelValue(absl::string_view value);

}  // namespace meltemi::pilot
