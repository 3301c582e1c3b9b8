// An access log as configured: a filter that decides, a format that prints, a sink that takes the
// line. Immutable, thread-safe.
#pragma once

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "proxy/observe/access_log.h"
#include "proxy/observe/format.h"
#include "proxy/observe/log_sink.h"
#include "proxy/route/matchers.h"

namespace meltemi::proxy {

// Whether an exchange is logged: a tree of conditions.
struct LogFilter {
  enum class Kind : uint8_t {
    kAll,
    kStatus,      // response code compared with `value`
    kDuration,    // milliseconds compared with `value`
    kFlags,       // any of `flags` (0: any flag at all)
    kGrpcStatus,  // grpc status in `statuses`, or not when `exclude`
    kHeader,      // of the request
    kAnd,
    kOr,
  };
  enum class Compare : uint8_t { kEqual, kAtLeast, kAtMost };

  Kind kind = Kind::kAll;
  Compare compare = Compare::kEqual;
  uint64_t value = 0;
  uint32_t flags = 0;
  std::vector<int> statuses;
  bool exclude = false;
  std::shared_ptr<const HeaderMatcher> header;
  std::vector<LogFilter> children;

  bool Passes(const FormatInput& input) const;
};

// `format`: one of the two, never null. A JSON line gets its newline; a text format brings its own.
using LineFormat = std::variant<std::shared_ptr<const Format>, std::shared_ptr<const JsonFormat>>;
std::shared_ptr<const AccessLog> NewFormattedLog(LogFilter filter, LineFormat format,
                                                 std::shared_ptr<LogSink> sink);

}  // namespace meltemi::proxy
