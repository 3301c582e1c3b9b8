// What a client takes: the header Accept.
//
// Threads: functions without state.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace meltemi::apiserver {

struct MediaRange {
  std::string type;  // "application/json", "application/*", "*/*"; lower case
  std::vector<std::pair<std::string, std::string>> parameters;  // without q

  absl::string_view Parameter(absl::string_view name) const;  // "" when there is none
  // Whether `media_type` ("application/json") is one of the range.
  bool Covers(absl::string_view media_type) const;
};

// In order of preference: by q, then as written. An empty header means everything. At most 32
// ranges are looked at.
std::vector<MediaRange> ParseAccept(absl::string_view header);

}  // namespace meltemi::apiserver
