// Which methods may be repeated without another effect than once.
#pragma once

#include "absl/strings/string_view.h"

namespace meltemi::proxy {

// RFC 9110 9.2.2: GET, HEAD, PUT, DELETE, OPTIONS, TRACE.
inline bool IsIdempotent(absl::string_view method) {
  return method == "GET" || method == "HEAD" || method == "PUT" || method == "DELETE" ||
         method == "OPTIONS" || method == "TRACE";
}

}  // namespace meltemi::proxy
