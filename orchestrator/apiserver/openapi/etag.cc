#include "orchestrator/apiserver/openapi/etag.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace meltemi::apiserver {
namespace {

uint64_t Fnv1a(absl::string_view bytes, uint64_t hash) {
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

}  // namespace

std::string ContentHash(absl::string_view bytes) {
  return absl::StrFormat("%016X%016X", Fnv1a(bytes, 0xCBF29CE484222325u),
                         Fnv1a(bytes, 0x9E3779B97F4A7C15u));
}

Reply CacheableReply(const Request& request, absl::string_view content_type, std::string bytes,
                     absl::string_view hash) {
  const std::string etag = absl::StrCat("\"", hash, "\"");
  Body body;
  body.content_type = std::string(content_type);
  body.fields = {{"etag", etag}, {"vary", "Accept"}, {"cache-control", "public"}};
  if (absl::StrContains(request.Header("if-none-match"), etag)) {
    body.code = 304;
  } else {
    body.bytes = std::move(bytes);
  }
  return body;
}

}  // namespace meltemi::apiserver
