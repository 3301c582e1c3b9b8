// Parses the head of an HTTP/1 message (RFC 9112): strictly, in one copy, without allocating.
//
// Stateless but for HeadScan, which remembers how far an incomplete head has been looked at. The
// head is copied once into the HeaderMap's arena; names are put in lower case there and all values
// are views into it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "base/http/header_map.h"
#include "base/http/stream.h"

namespace meltemi::http::h1 {

// What is wrong with a message, and the status that a server answers it with.
struct ParseError {
  int status = 0;  // 0: nothing
  const char* what = "";
  explicit operator bool() const { return status != 0; }
};

struct HeadLimits {
  size_t bytes_max = 0;
  uint32_t count_max = 0;
};

// The most fields that a head may have, whatever the limits say.
constexpr uint32_t kFieldsCountCap = 1000;

// Where each line of a head ends (the offset of its CR).
struct LineEnds {
  uint32_t offsets[kFieldsCountCap + 2];
  uint32_t count = 0;
};

// How far an incomplete head has been scanned.
struct HeadScan {
  size_t at = 0;
  size_t line_begin = 0;
};

enum class ScanResult : uint8_t { kIncomplete, kComplete, kError };

// Looks for the empty line that ends a head at the front of `bytes`, going on where `scan` stands.
// Every line must end in CRLF and hold no control character but the tab. kComplete: `*head_bytes`
// counts all of it with the empty line, and `ends` has every line before the empty one.
ScanResult ScanHead(absl::string_view bytes, const HeadLimits& limits, HeadScan* scan,
                    LineEnds* ends, size_t* head_bytes, ParseError* error);

enum class BodyKind : uint8_t {
  kNone,
  kLength,  // content_length bytes
  kChunked,
  kUntilClose,  // responses only
  kTunnel,      // after 101, or 2xx to CONNECT: bytes without framing
};

// What the head says about the message and the connection.
struct MessageInfo {
  Protocol protocol = Protocol::kHttp11;
  BodyKind body = BodyKind::kNone;
  uint64_t content_length = 0;
  bool has_content_length = false;
  bool chunked = false;
  bool keep_alive = true;
  // Connection: upgrade together with an Upgrade other than h2c (requests: without a body, and a
  // GET unless any method will do).
  bool upgrade = false;
};

// `head` is what ScanHead has found complete.
ParseError ParseRequestHead(absl::string_view head, const LineEnds& ends, bool upgrade_any_method,
                            HeaderMap* headers, MessageInfo* info);
// `info->body` is what the fields alone say: the caller knows the request's method.
ParseError ParseResponseHead(absl::string_view head, const LineEnds& ends, HeaderMap* headers,
                             MessageInfo* info);
// Trailer fields: those that route or authenticate a message are left out (RFC 9110 6.5.1); those
// that frame it are an error.
ParseError ParseTrailers(absl::string_view section, const LineEnds& ends, HeaderMap* trailers);

}  // namespace meltemi::http::h1
