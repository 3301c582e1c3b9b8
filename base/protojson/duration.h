// Durations as text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::protojson {

struct DurationParts {
  int64_t seconds = 0;
  int32_t nanos = 0;  // the sign of seconds
};

// Go's notation: "3s", "1.5h", "1h1m", "100ms", "-2us", "0". protobuf's own ("1.5s") is part of it.
// Nothing when it is not that, or beyond protobuf's ±315,576,000,000 s.
std::optional<DurationParts> ParseDuration(absl::string_view text);

// protobuf's notation: seconds with 0, 3, 6 or 9 decimals: "3s", "0.100s".
std::string FormatDuration(const DurationParts& duration);

}  // namespace meltemi::protojson
