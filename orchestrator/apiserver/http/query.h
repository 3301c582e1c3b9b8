// Percent-decoding as Go's net/url does it, which is what clients of Kubernetes are used to.
//
// Threads: functions without state.
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::apiserver {

// nullopt: an escape that is none ("%zz", "%1").
std::optional<std::string> DecodePath(absl::string_view text);
// The same, and "+" is a space.
std::optional<std::string> DecodeQueryPart(absl::string_view text);

}  // namespace meltemi::apiserver
