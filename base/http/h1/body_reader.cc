#include "base/http/h1/body_reader.h"

#include <algorithm>
#include <utility>

#include "base/http/syntax.h"

namespace meltemi::http::h1 {
namespace {

constexpr size_t kSizeDigitsMax = 16;

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// Past the quoted string that begins at `at`; npos when it is not a whole one, or escapes
// something: parsers differ in where such a string ends, and nobody sends one.
size_t EndOfQuoted(absl::string_view text, size_t at) {
  const size_t end = text.find_first_of("\"\\", at + 1);
  return end == absl::string_view::npos || text[end] == '\\' ? absl::string_view::npos : end + 1;
}

size_t EndOfToken(absl::string_view text, size_t at) {
  const size_t begin = at;
  while (at < text.size() && IsTokenChar(text[at])) ++at;
  return at == begin ? absl::string_view::npos : at;
}

}  // namespace

bool IsValidChunkExtension(absl::string_view text) {
  if (!IsValidFieldValue(text)) return false;
  size_t at = 0;
  while (at < text.size()) {
    if (text[at] != ';') return false;
    at = EndOfToken(text, at + 1);
    if (at == absl::string_view::npos) return false;
    if (at == text.size() || text[at] != '=') continue;
    ++at;
    const bool quoted = at < text.size() && text[at] == '"';
    at = quoted ? EndOfQuoted(text, at) : EndOfToken(text, at);
    if (at == absl::string_view::npos) return false;
  }
  return true;
}

void BodyReader::Start(BodyKind kind, uint64_t length) {
  kind_ = kind;
  left_ = kind == BodyKind::kLength ? length : 0;
  chunk_state_ = ChunkState::kSize;
  extension_bytes_ = 0;
  trailer_scan_ = HeadScan();
  trailers_.reset();
  error_ = ParseError();
}

BodyReader::Result BodyReader::Read(Buffer& in, Buffer& out) {
  switch (kind_) {
    case BodyKind::kNone:
      return Result::kDone;
    case BodyKind::kLength: {
      const size_t count = static_cast<size_t>(std::min<uint64_t>(left_, in.size()));
      out.MoveFrom(in, count);
      left_ -= count;
      return left_ == 0 ? Result::kDone : Result::kMore;
    }
    case BodyKind::kChunked:
      return ReadChunked(in, out);
    case BodyKind::kUntilClose:
    case BodyKind::kTunnel:
      out.MoveFrom(in);
      return Result::kMore;
  }
  return Result::kMore;
}

BodyReader::Result BodyReader::ReadChunked(Buffer& in, Buffer& out) {
  while (true) {
    Result result = Result::kDone;
    switch (chunk_state_) {
      case ChunkState::kSize:
        result = TakeSize(in);
        break;
      case ChunkState::kData: {
        const size_t count = static_cast<size_t>(std::min<uint64_t>(left_, in.size()));
        out.MoveFrom(in, count);
        left_ -= count;
        if (left_ > 0) return Result::kMore;
        chunk_state_ = ChunkState::kDataEnd;
        break;
      }
      case ChunkState::kDataEnd:
        result = TakeDataEnd(in);
        break;
      case ChunkState::kTrailers:
        return TakeTrailerSection(in);
    }
    if (result != Result::kDone) return result;
  }
}

BodyReader::Result BodyReader::TakeSize(Buffer& in) {
  const size_t extension_left = limits_.chunk_extension_bytes_max - extension_bytes_;
  const size_t line_max = kSizeDigitsMax + extension_left + 2;
  absl::string_view line = in.Front();
  if (line.size() < line_max && line.size() < in.size()) {
    line = in.Linearize(std::min(in.size(), line_max));
  }
  uint64_t size = 0;
  size_t at = 0;
  for (; at < line.size(); ++at) {
    const int digit = HexValue(line[at]);
    if (digit < 0) break;
    if (at >= kSizeDigitsMax) return Fail(400, "the chunk size has too many digits");
    size = size << 4 | static_cast<uint64_t>(digit);
  }
  if (at == line.size()) return Result::kMore;
  if (at == 0) return Fail(400, "the chunk size is not a number");
  if (size > static_cast<uint64_t>(INT64_MAX)) return Fail(400, "the chunk size is too large");
  const size_t extension_begin = at;
  if (line[at] == ';') {
    while (at < line.size() && line[at] != '\r' && line[at] != '\n') ++at;
    if (at - extension_begin > extension_left)
      return Fail(400, "the chunk extensions are too long");
    if (at == line.size()) return Result::kMore;
  }
  if (line[at] != '\r') return Fail(400, "the chunk size is not followed by CRLF");
  if (at + 1 == line.size()) return Result::kMore;
  if (line[at + 1] != '\n') return Fail(400, "the chunk size is not followed by CRLF");
  if (!IsValidChunkExtension(line.substr(extension_begin, at - extension_begin))) {
    return Fail(400, "a chunk extension is not valid");
  }
  extension_bytes_ += at - extension_begin;
  in.Drain(at + 2);
  left_ = size;
  chunk_state_ = size == 0 ? ChunkState::kTrailers : ChunkState::kData;
  return Result::kDone;
}

BodyReader::Result BodyReader::TakeDataEnd(Buffer& in) {
  if (in.empty()) return Result::kMore;
  char end[2] = {'\r', '\n'};
  in.CopyOut(0, std::min<size_t>(in.size(), 2), end);
  if (end[0] != '\r' || end[1] != '\n') return Fail(400, "a chunk is longer than its size");
  if (in.size() < 2) return Result::kMore;
  in.Drain(2);
  chunk_state_ = ChunkState::kSize;
  return Result::kDone;
}

BodyReader::Result BodyReader::TakeTrailerSection(Buffer& in) {
  if (in.empty()) return Result::kMore;
  absl::string_view bytes = in.Front();
  if (bytes.size() < in.size() && bytes.size() < limits_.headers_bytes_max) {
    bytes = in.Linearize(std::min(in.size(), limits_.headers_bytes_max + 1));
  }
  LineEnds ends;
  size_t section_bytes = 0;
  ParseError error;
  const HeadLimits limits = {limits_.headers_bytes_max, limits_.headers_count_max};
  switch (ScanHead(bytes, limits, &trailer_scan_, &ends, &section_bytes, &error)) {
    case ScanResult::kIncomplete:
      return Result::kMore;
    case ScanResult::kError:
      return Fail(error.status == 400 ? 400 : 431, error.what);
    case ScanResult::kComplete:
      break;
  }
  if (ends.count > 0) {
    trailers_ = HeaderMap::New();
    error = ParseTrailers(bytes.substr(0, section_bytes), ends, trailers_.get());
    if (error) return Fail(error.status, error.what);
    if (trailers_->size() == 0) trailers_.reset();
  }
  in.Drain(section_bytes);
  return Result::kDone;
}

BodyReader::Result BodyReader::Fail(int status, const char* what) {
  error_ = {status, what};
  trailers_.reset();
  return Result::kError;
}

}  // namespace meltemi::http::h1
