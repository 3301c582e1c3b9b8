// Go's notation of durations: "1h30m", "1.5s", "300ms".
//
// Threads: functions without state.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"

namespace meltemi::apiserver {

// time.ParseDuration, in its words when it fails.
absl::StatusOr<Duration> ParseGoDuration(absl::string_view text);

}  // namespace meltemi::apiserver
