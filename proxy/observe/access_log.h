// Access logs: a compiled format and a sink. Configured once, used by all workers.
#pragma once

#include <memory>

#include "absl/strings/string_view.h"
#include "base/http/header_map.h"

namespace meltemi::proxy {

struct StreamInfo;

// Thread-safe. Write never blocks on the disk for long: lines go to a bounded buffer that a writer
// thread empties; what does not fit is counted and dropped.
class AccessLog {
 public:
  virtual ~AccessLog() = default;
  // `request`/`response`/`trailers` may be null (TCP, nothing received).
  virtual void Write(const http::HeaderMap* request, const http::HeaderMap* response,
                     const http::HeaderMap* trailers, const StreamInfo& info) const = 0;
};

}  // namespace meltemi::proxy
