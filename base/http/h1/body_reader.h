// Takes the body of one HTTP/1 message out of the bytes of its connection (RFC 9112 6 and 7).
//
// Sans-IO and loop-owned: bytes in, decoded bytes and trailers out; nothing is copied that is
// larger than a chunk's head.
#pragma once

#include <cstdint>

#include "base/bytes/buffer.h"
#include "base/http/codec.h"
#include "base/http/h1/head_parser.h"
#include "base/http/header_map.h"

namespace meltemi::http::h1 {

class BodyReader {
 public:
  enum class Result : uint8_t { kMore, kDone, kError };

  explicit BodyReader(const Http1Limits& limits) : limits_(limits) {}

  // Begins the next body. `length` matters for kLength alone.
  void Start(BodyKind kind, uint64_t length);
  // Moves what can be decoded from `in` to `out`. kMore: all of `in` that can be used was used.
  // kUntilClose and kTunnel never end here: the end of input ends them.
  Result Read(Buffer& in, Buffer& out);
  // After kDone: the trailers of a chunked message; nullptr when it had none.
  HeaderMapPtr TakeTrailers() { return std::move(trailers_); }
  // After kError.
  const ParseError& error() const { return error_; }
  BodyKind kind() const { return kind_; }
  // Bytes still to come of a kLength body.
  uint64_t left() const { return left_; }

 private:
  // Where in a chunked body the next byte belongs:
  //   kSize -> kData -> kDataEnd -> kSize … -> kTrailers (after the chunk of size 0)
  enum class ChunkState : uint8_t { kSize, kData, kDataEnd, kTrailers };

  Result ReadChunked(Buffer& in, Buffer& out);
  // Each takes one element. kMore: it is not complete yet; kDone: go on.
  Result TakeSize(Buffer& in);
  Result TakeDataEnd(Buffer& in);
  Result TakeTrailerSection(Buffer& in);
  Result Fail(int status, const char* what);

  const Http1Limits& limits_;
  BodyKind kind_ = BodyKind::kNone;
  ChunkState chunk_state_ = ChunkState::kSize;
  uint64_t left_ = 0;
  size_t extension_bytes_ = 0;
  HeadScan trailer_scan_;
  HeaderMapPtr trailers_;
  ParseError error_;
};

// True for *( ";" name [ "=" value ] ), a value being a token or a quoted string without escapes.
bool IsValidChunkExtension(absl::string_view text);

}  // namespace meltemi::http::h1
