// One line of a container's log: "2026-01-02T03:04:05.123456789Z stdout F what it said".
//
// Threads: functions without state; views into the line. Source: the CRI log format
// (design-proposals-archive/node/kubelet-cri-logging.md).
#pragma once

#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"

namespace meltemi::kubelet {

struct LogLine {
  absl::string_view time;  // RFC 3339
  bool is_stderr = false;
  bool partial = false;    // the next line of the stream goes on with its text
  absl::string_view text;  // without the end of the line
};
// `raw`: without the end of the line. nullopt: it is none.
std::optional<LogLine> ParseLogLine(absl::string_view raw);

// RFC 3339 with any fraction and offset, exact to the nanosecond.
std::optional<WallTime> ParseLogTime(absl::string_view text);
// With nine digits of a fraction, in the time zone that `time` has; as it is when it is none.
std::string FixedWidthTime(absl::string_view time);

}  // namespace meltemi::kubelet
