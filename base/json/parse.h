// JSON text -> tree. Strict (RFC 8259), with duplicate keys refused, and bounded.
#pragma once

#include <cstddef>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace meltemi::json {

struct ParseLimits {
  size_t size_bytes_max = 64 * 1024 * 1024;
  size_t depth_max = 100;
  size_t values_max = 5'000'000;
};

// One document; anything after it but white space is an error. On failure: InvalidArgument with
// "line L, column C: what".
absl::StatusOr<Value> Parse(absl::string_view text, const ParseLimits& limits = {});

}  // namespace meltemi::json
