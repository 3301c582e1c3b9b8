// YAML text -> trees (base/json/value.h) with the line of every value. The one place that knows
// yaml-cpp, and the one boundary that catches its exceptions.
#pragma once

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace meltemi::yaml {

struct ParseLimits {
  size_t size_bytes_max = 64 * 1024 * 1024;
  size_t depth_max = 100;
  // Aliases count as often as they are used: a short text cannot grow into a large tree.
  size_t values_max = 5'000'000;
};

// All documents of a stream; empty ones (only comments between two "---") are left out.
//
// Plain scalars resolve as Kubernetes' tools do (YAML 1.1): null, booleans (true, yes, on, …),
// integers (decimal, 0x, 0o, leading 0 = octal, 0b, underscores), reals; everything else, and all
// that is quoted, is a string. Merge keys ("<<") are applied. Keys must be scalars and occur once
// in a mapping. On failure: InvalidArgument with "line L, column C: what".
absl::StatusOr<std::vector<json::Value>> ParseAll(absl::string_view text,
                                                  const ParseLimits& limits = {});

// Exactly one document.
absl::StatusOr<json::Value> Parse(absl::string_view text, const ParseLimits& limits = {});

}  // namespace meltemi::yaml
