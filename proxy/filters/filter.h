// The seam of HTTP filters: what sits between the connection's stream and the route's destination.
//
// Loop-owned; one object per stream and filter. Deliberately small: a filter sees headers, may
// pause the request once or answer it itself; bodies pass it by (a filter that needs them gets its
// own seam when there is one).
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/http/header_map.h"
#include "base/loop/loop.h"
#include "base/random/random.h"
#include "proxy/stream/reply/stream_error.h"

namespace meltemi::metrics {
class Scope;
}

namespace meltemi::proxy {

struct Route;
struct StreamInfo;
struct FilterOverrides;

// What a filter says when it answers instead of the upstream.
struct LocalReply {
  int status = 500;
  int grpc_status = -1;  // used instead when the request is gRPC and this is >= 0
  std::string body;
  absl::string_view details;  // static words such as "fault_filter_abort"
  StreamError error = StreamError::kNone;
  uint32_t flags = 0;          // ResponseFlag bits
  http::HeaderMapPtr headers;  // added to the answer; may be null
};

// What a filter may ask of its stream. Valid as long as the filter.
class FilterStream {
 public:
  virtual ~FilterStream() = default;
  virtual Loop& loop() = 0;
  virtual Random& random() = 0;
  virtual StreamInfo& info() = 0;
  virtual const Route* route() const = 0;  // null when none matched
  virtual const FilterOverrides* overrides()
      const = 0;  // of the route and chosen cluster; may be null
  virtual absl::string_view cluster_name() const = 0;  // chosen; "" when none
  // Goes on after kPause; from the loop or from within a timer callback. Once.
  virtual void Continue() = 0;
  // Ends the request here. After kPause, or before returning kAnswered from OnRequestHeaders.
  virtual void Answer(LocalReply reply) = 0;
};

enum class FilterResult : uint8_t { kContinue, kPause, kAnswered };

class Filter {
 public:
  virtual ~Filter() = default;
  virtual FilterResult OnRequestHeaders(http::HeaderMap& headers, bool end_stream) = 0;
  // Called for upstream's and for local answers, in reverse order of the filters.
  virtual void OnResponseHeaders(http::HeaderMap& headers) {}
  // The stream is over, or has no more use for the filter: stop timers, count.
  virtual void OnEnd() {}
};

// Configured once per listener and worker; makes the filter of each stream.
class FilterFactory {
 public:
  virtual ~FilterFactory() = default;
  virtual absl::string_view name() const = 0;
  // nullptr: this filter has nothing to do on this stream (cheap way out).
  virtual std::unique_ptr<Filter> NewFilter(FilterStream& stream) = 0;
  // True: the filter keeps nothing of a stream and looks at the request alone. Then Judge is asked
  // in its turn, NewFilter is not, and no object is made. Constant.
  virtual bool stateless() const { return false; }
  virtual FilterResult Judge(FilterStream& stream, const http::HeaderMap& request) {
    return FilterResult::kContinue;
  }
};

// The immutable, thread-safe form that the compiler makes from a filter's proto; each worker asks
// it for a factory of its own, whose counters live in `scope`.
class FilterConfig {
 public:
  virtual ~FilterConfig() = default;
  virtual std::unique_ptr<FilterFactory> NewFactory(metrics::Scope& scope) const = 0;
};

}  // namespace meltemi::proxy
