// Normal form of request paths, and the parts of a path. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "proxy/listener/listener_config.h"

namespace meltemi::proxy {

enum class PathVerdict : uint8_t {
  kUnchanged,
  kChanged,   // *changed holds the new path with its query
  kRejected,  // 400
  kRedirect,  // 307 to *changed: the client shall ask again (UNESCAPE_AND_REDIRECT)
};

// Applies the connection manager's rules to `path` (with query): escaped slashes, RFC 3986 6.2.2
// (percent-encoding, dot segments, also "\" for "/"), several slashes in a row. The query is left
// alone.
PathVerdict NormalizePath(const HttpConfig& config, absl::string_view path, std::string* changed);

// "/a/b?x=1" -> "/a/b", and "x=1".
absl::string_view PathWithoutQuery(absl::string_view path);
absl::string_view QueryOf(absl::string_view path);

}  // namespace meltemi::proxy
