// "did you mean": the nearest of the known names.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meltemi::protojson {

// " (did you mean \"x\"?)", or nothing when no name is near: a third of the letters may differ.
std::string Suggestion(absl::string_view given, const std::vector<absl::string_view>& known);

}  // namespace meltemi::protojson
