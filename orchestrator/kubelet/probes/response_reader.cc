#include "orchestrator/kubelet/probes/response_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace meltemi::kubelet {
namespace {

constexpr size_t kHeadBytesMax = 1024 * 1024;
constexpr size_t kBodyBytesMax = 10 * 1024;
constexpr size_t kQuotedBytesMax = 100;
constexpr int kInformationalMax = 5;

bool AllDigits(absl::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)); });
}

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", absl::CHexEscape(text.substr(0, kQuotedBytesMax)), "\"");
}

// The next line without its end; false: it is not there yet.
bool NextLine(const std::string& in, size_t* at, absl::string_view* line) {
  const size_t end = in.find('\n', *at);
  if (end == std::string::npos) return false;
  *line = absl::string_view(in).substr(*at, end - *at);
  (void)absl::ConsumeSuffix(line, "\r");
  *at = end + 1;
  return true;
}

}  // namespace

void ResponseReader::Feed(absl::string_view data, bool end) {
  if (state_ == State::kDone || state_ == State::kFailed) return;
  in_.append(data.data(), data.size());
  if (state_ == State::kHead) ReadHead();
  if (state_ == State::kBody) ReadBody();
  if (end) AtEnd();
}

void ResponseReader::Fail(std::string why) {
  if (state_ == State::kHead) status_ = 0;  // a head that is broken is none
  state_ = State::kFailed;
  error_ = std::move(why);
}

void ResponseReader::ReadHead() {
  // All of it, or nothing yet.
  size_t at = 0;
  absl::string_view line;
  do {
    if (NextLine(in_, &at, &line)) continue;
    if (in_.size() > kHeadBytesMax) Fail("server response headers exceeded 1048576 bytes; aborted");
    return;
  } while (!line.empty());

  size_t head_at = 0;
  if (!NextLine(in_, &head_at, &line) || !TakeStatusLine(line)) return;
  while (NextLine(in_, &head_at, &line) && !line.empty()) {
    if (!TakeField(line)) return;
  }
  in_.erase(0, at);
  if (status_ >= 100 && status_ < 200 && status_ != 101) {
    if (++informational_ > kInformationalMax)
      return Fail("net/http: too many 1xx informational responses");
    framing_ = Framing::kUntilClosed;
    return ReadHead();
  }
  if (status_ == 204 || status_ == 304 || (framing_ == Framing::kLength && left_ == 0)) {
    state_ = State::kDone;
  } else {
    state_ = State::kBody;
  }
}

// "HTTP/1.1 200 OK"; the reason may be missing.
bool ResponseReader::TakeStatusLine(absl::string_view line) {
  const size_t space = line.find(' ');
  if (!absl::StartsWith(line, "HTTP/") || space == absl::string_view::npos) {
    Fail(absl::StrCat("malformed HTTP response ", Quoted(line)));
    return false;
  }
  absl::string_view code = absl::StripLeadingAsciiWhitespace(line.substr(space));
  code = code.substr(0, code.find(' '));
  if (code.size() != 3 || !AllDigits(code) || !absl::SimpleAtoi(code, &status_)) {
    status_ = 0;
    Fail(absl::StrCat("malformed HTTP status code ", Quoted(code)));
    return false;
  }
  return true;
}

bool ResponseReader::TakeField(absl::string_view line) {
  const size_t colon = line.find(':');
  if (colon == absl::string_view::npos || colon == 0) {
    Fail(absl::StrCat("malformed MIME header: missing colon: ", Quoted(line)));
    return false;
  }
  const std::string name = absl::AsciiStrToLower(line.substr(0, colon));
  const absl::string_view value = absl::StripAsciiWhitespace(line.substr(colon + 1));
  if (name == "location" && location_.empty()) {
    location_ = std::string(value);
  } else if (name == "transfer-encoding" && absl::EqualsIgnoreCase(value, "chunked")) {
    framing_ = Framing::kChunkSize;
  } else if (name == "content-length" && framing_ != Framing::kChunkSize) {
    if (!absl::SimpleAtoi(value, &left_)) {
      Fail(absl::StrCat("bad Content-Length ", Quoted(value)));
      return false;
    }
    framing_ = Framing::kLength;
  }
  return true;
}

void ResponseReader::TakeBody(uint64_t size) {
  const size_t taken = static_cast<size_t>(std::min<uint64_t>(size, in_.size()));
  body_.append(in_, 0, std::min(taken, kBodyBytesMax - body_.size()));
  in_.erase(0, taken);
  if (framing_ != Framing::kUntilClosed) left_ -= taken;
  if (body_.size() >= kBodyBytesMax) state_ = State::kDone;
}

void ResponseReader::ReadBody() {
  if (framing_ == Framing::kUntilClosed) return TakeBody(in_.size());
  if (framing_ != Framing::kLength) return ReadChunks();
  TakeBody(left_);
  if (left_ == 0) state_ = State::kDone;
}

void ResponseReader::ReadChunks() {
  while (state_ == State::kBody) {
    if (framing_ == Framing::kChunk) {
      TakeBody(left_);
      if (left_ > 0) return;
      framing_ = Framing::kChunkEnd;
    }
    size_t at = 0;
    absl::string_view line;
    if (!NextLine(in_, &at, &line)) {
      if (in_.size() > kBodyBytesMax) Fail("header line too long");
      return;
    }
    if (framing_ == Framing::kChunkEnd) {
      framing_ = Framing::kChunkSize;
      if (!line.empty()) return Fail("malformed chunked encoding");
    } else {
      const std::string size(absl::StripAsciiWhitespace(line.substr(0, line.find(';'))));
      if (size.size() > 15 || !absl::SimpleHexAtoi(size, &left_)) {
        return Fail("invalid byte in chunk length");
      }
      framing_ = Framing::kChunk;
      if (left_ == 0) state_ = State::kDone;
    }
    in_.erase(0, at);
  }
}

void ResponseReader::AtEnd() {
  if (state_ == State::kHead) {
    // What is no HTTP at all often ends without an empty line.
    size_t at = 0;
    absl::string_view line;
    if (NextLine(in_, &at, &line) && !TakeStatusLine(line)) return;
    Fail(in_.empty() && informational_ == 0 ? "EOF" : "unexpected EOF");
  } else if (state_ == State::kBody) {
    if (framing_ != Framing::kUntilClosed) return Fail("unexpected EOF");
    state_ = State::kDone;
  }
}

}  // namespace meltemi::kubelet
