// Strings as Go's %q prints them: Kubernetes' messages quote what users wrote that way.
//
// Threads: a function without state.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::kube {

// In double quotes, with \n, \", \\, \x1f … for what can't be printed; UTF-8 stays.
std::string GoQuoted(absl::string_view text);

}  // namespace meltemi::kube
