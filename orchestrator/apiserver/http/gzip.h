// gzip (RFC 1952) of answers, as fast as zlib can (level 1, which kube-apiserver uses as well).
//
// Threads: functions without state.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::apiserver {

// Whether an Accept-Encoding header allows gzip (RFC 9110 12.5.3).
bool AcceptsGzip(absl::string_view accept_encoding);
// "" when zlib fails.
std::string Gzip(absl::string_view bytes);

}  // namespace meltemi::apiserver
