// Answers that clients may keep: an ETag, and 304 when they have it already.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "orchestrator/apiserver/http/request.h"

namespace meltemi::apiserver {

// Hex digits that depend on every byte: of 128 bits, not meant to resist an adversary (the content
// is the server's own).
std::string ContentHash(absl::string_view bytes);

// 200 with `bytes`, or 304 without when If-None-Match has the hash. `hash` as of ContentHash.
Reply CacheableReply(const Request& request, absl::string_view content_type, std::string bytes,
                     absl::string_view hash);

}  // namespace meltemi::apiserver
