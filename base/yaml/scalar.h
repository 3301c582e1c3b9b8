// What a plain (unquoted) YAML scalar means.
#pragma once

#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace meltemi::yaml {

// Never fails: what is nothing else is a string. Numbers come out in JSON's grammar (0x1F -> 31).
json::Value ResolvePlainScalar(absl::string_view text);

}  // namespace meltemi::yaml
