// JSON text -> tree. Strict (RFC 8259), with duplicate keys refused, and bounded.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

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

// The same for readers that put up with repeated keys: the last value counts, and the path of each
// repeated key is added to `*duplicates` once ("spec.ports[0].name"), at most 100 of them.
absl::StatusOr<Value> ParseKeepingLast(absl::string_view text, const ParseLimits& limits,
                                       std::vector<std::string>* duplicates);

}  // namespace meltemi::json
