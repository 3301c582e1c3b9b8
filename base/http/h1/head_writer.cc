#include "base/http/h1/head_writer.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/http/syntax.h"

namespace meltemi::http::h1 {
namespace {

// Room for everything in a head beside method, target, authority and the fields' own bytes.
constexpr size_t kFixedBytes = 256;
// A nonce that never repeats would gain nothing here: both ends of this hop are ours to trust.
constexpr absl::string_view kWebSocketKey = "bWVsdGVtaS1tZWx0ZW1pLQ==";

// memcpy for the short runs that heads are made of, without a call.
inline char* CopyShort(char* to, const char* from, size_t count) {
  if (count >= 16) {
    if (count > 64) {
      memcpy(to, from, count);
      return to + count;
    }
    size_t at = 0;
    for (; at + 16 <= count; at += 16) memcpy(to + at, from + at, 16);
    memcpy(to + count - 16, from + count - 16, 16);
  } else if (count >= 8) {
    memcpy(to, from, 8);
    memcpy(to + count - 8, from + count - 8, 8);
  } else if (count >= 4) {
    memcpy(to, from, 4);
    memcpy(to + count - 4, from + count - 4, 4);
  } else {
    for (size_t i = 0; i < count; ++i) to[i] = from[i];
  }
  return to + count;
}

// Where a head is written: memory that is known to be large enough.
class Cursor {
 public:
  Cursor(char* begin, bool clean) : begin_(begin), at_(begin), clean_(clean) {}

  void Put(absl::string_view bytes) { at_ = CopyShort(at_, bytes.data(), bytes.size()); }
  void PutValue(absl::string_view value) {
    char* const from = at_;
    Put(value);
    if (clean_) std::replace_if(from, at_, IsControl, ' ');
  }
  void EndLine() {
    at_[0] = '\r';
    at_[1] = '\n';
    at_ += 2;
    ++lines_;
  }
  // A whole line of ours: `text` without its CRLF.
  void Line(absl::string_view text) {
    Put(text);
    EndLine();
  }
  void Field(absl::string_view name, absl::string_view value) {
    PutValue(name);
    at_[0] = ':';
    at_[1] = ' ';
    at_ += 2;
    PutValue(value);
    EndLine();
  }
  size_t size() const { return static_cast<size_t>(at_ - begin_); }
  // Whether the only control characters are the ends of the lines.
  bool IsClean() const { return CountControls(begin_, size()) == 2 * lines_; }

 private:
  static bool IsControl(char c) {
    const auto byte = static_cast<uint8_t>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7f;
  }

  char* begin_;
  char* at_;
  size_t lines_ = 0;
  const bool clean_;
};

constexpr uint64_t IdBit(HeaderId id) { return uint64_t{1} << static_cast<uint8_t>(id); }

// Never copied: written by what the codec knows, or for one hop alone.
constexpr uint64_t kSkippedIds = IdBit(HeaderId::kConnection) | IdBit(HeaderId::kContentLength) |
                                 IdBit(HeaderId::kHttp2Settings) | IdBit(HeaderId::kKeepAlive) |
                                 IdBit(HeaderId::kProxyConnection) |
                                 IdBit(HeaderId::kTransferEncoding) | IdBit(HeaderId::kUpgrade);
static_assert(HeaderId::kUpgrade < static_cast<HeaderId>(64));

bool IsSkipped(HeaderId id, uint64_t skipped) {
  return id < static_cast<HeaderId>(64) && (skipped & IdBit(id)) != 0;
}

size_t BytesMax(const HeaderMap& headers) {
  size_t bytes = kFixedBytes + headers.method().size() + headers.path().size() +
                 2 * headers.authority().size() + headers.protocol().size();
  for (const HeaderMap::Entry& entry : headers.entries()) {
    bytes += entry.name.size() + entry.value.size() + 4;
  }
  return bytes;
}

void PutFields(const HeaderMap& headers, uint64_t skipped, Cursor& cursor) {
  for (const HeaderMap::Entry& entry : headers.entries()) {
    if (!IsSkipped(entry.id, skipped)) cursor.Field(entry.name, entry.value);
  }
}

// Runs `write(cursor)` into the output; once more with clean values when it has to be.
template <typename Write>
void WriteHead(size_t bytes_max, Buffer& out, Write&& write) {
  std::string large;
  char* at = nullptr;
  if (bytes_max <= Buffer::kBlockBytes) {
    size_t room = 0;
    at = out.Reserve(bytes_max, &room);
  } else {
    large.resize(bytes_max);
    at = large.data();
  }
  Cursor cursor(at, /*clean=*/false);
  write(cursor);
  size_t written = cursor.size();
  if (!cursor.IsClean()) {
    Cursor again(at, /*clean=*/true);
    write(again);
    written = again.size();
  }
  if (large.empty()) {
    out.Commit(written);
  } else {
    out.Append(absl::string_view(large).substr(0, written));
  }
}

std::string EscapedTarget(absl::string_view target) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string escaped;
  for (const char c : target) {
    if (IsValidTarget({&c, 1})) {
      escaped.push_back(c);
      continue;
    }
    const auto byte = static_cast<uint8_t>(c);
    escaped.append({'%', kHex[byte >> 4], kHex[byte & 15]});
  }
  return escaped.empty() ? "/" : escaped;
}

bool BodyIsUsual(absl::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

struct Framing {
  BodyKind kind = BodyKind::kNone;
  uint64_t length = 0;
  bool put_length = false;
};

// What Content-Length says when there is a believable one.
bool KnownLength(const HeaderMap& headers, uint64_t* length) {
  return headers.Has(HeaderId::kContentLength) &&
         ParseContentLength(headers.Get(HeaderId::kContentLength), length);
}

Framing RequestFraming(const HeaderMap& headers, const RequestHeadInfo& info, bool end_stream) {
  Framing framing;
  if (info.is_connect || info.wants_upgrade) {
    framing.kind = BodyKind::kTunnel;
  } else if (end_stream) {
    framing.put_length = BodyIsUsual(headers.method()) || headers.Has(HeaderId::kContentLength);
  } else if (KnownLength(headers, &framing.length)) {
    framing.kind = BodyKind::kLength;
    framing.put_length = true;
  } else {
    framing.kind = BodyKind::kChunked;
  }
  return framing;
}

Framing ResponseFraming(const HeaderMap& headers, const ResponseContext& context, bool end_stream) {
  Framing framing;
  const int status = headers.status();
  if ((status == 101 && context.to_upgrade) ||
      (context.to_connect && status >= 200 && status < 300)) {
    framing.kind = BodyKind::kTunnel;
  } else if (context.to_head || status == 304) {
    framing.put_length = KnownLength(headers, &framing.length);
  } else if (status < 200 || status == 204) {
    return framing;
  } else if (KnownLength(headers, &framing.length) && (!end_stream || framing.length == 0)) {
    framing.kind = BodyKind::kLength;
    framing.put_length = true;
  } else if (end_stream) {
    // Whatever was announced, nothing comes.
    framing.length = 0;
    framing.put_length = true;
  } else {
    framing.kind = context.peer == Protocol::kHttp10 ? BodyKind::kUntilClose : BodyKind::kChunked;
  }
  return framing;
}

void PutFraming(const Framing& framing, Cursor& cursor) {
  if (framing.put_length) {
    char digits[20];
    char* at = digits + sizeof(digits);
    uint64_t value = framing.length;
    do {
      *--at = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value > 0);
    cursor.Put("content-length: ");
    cursor.Line({at, static_cast<size_t>(digits + sizeof(digits) - at)});
  } else if (framing.kind == BodyKind::kChunked) {
    cursor.Line("transfer-encoding: chunked");
  }
}

void PutRequest(const HeaderMap& headers, const RequestHeadInfo& info, const Framing& framing,
                absl::string_view target, Cursor& cursor) {
  cursor.PutValue(info.from_extended_connect ? "GET" : headers.method());
  cursor.Put(" ");
  cursor.PutValue(target);
  cursor.Line(" HTTP/1.1");
  uint64_t skipped = kSkippedIds;
  if (!headers.authority().empty() || !headers.Has(HeaderId::kHost)) {
    cursor.Field("host", headers.authority());
    skipped |= IdBit(HeaderId::kHost);
  }
  PutFields(headers, skipped, cursor);
  if (info.wants_upgrade) {
    cursor.Line("connection: upgrade");
    cursor.Field("upgrade",
                 info.from_extended_connect ? headers.protocol() : headers.Get(HeaderId::kUpgrade));
    if (info.own_websocket_key) cursor.Field("sec-websocket-key", kWebSocketKey);
  }
  PutFraming(framing, cursor);
  cursor.EndLine();
}

void PutStatusLine(int status, Cursor& cursor) {
  if (status == 200) return cursor.Line("HTTP/1.1 200 OK");
  status = std::clamp(status, 100, 999);
  const char digits[4] = {static_cast<char>('0' + status / 100),
                          static_cast<char>('0' + status / 10 % 10),
                          static_cast<char>('0' + status % 10), ' '};
  cursor.Put("HTTP/1.1 ");
  cursor.Put({digits, 4});
  cursor.Line(ReasonPhrase(status));
}

void PutResponse(const HeaderMap& headers, const ResponseContext& context, const Framing& framing,
                 Cursor& cursor) {
  PutStatusLine(headers.status(), cursor);
  PutFields(headers, kSkippedIds, cursor);
  const bool switching = headers.status() == 101 && framing.kind == BodyKind::kTunnel;
  if ((switching || headers.status() == 426) && headers.Has(HeaderId::kUpgrade)) {
    cursor.Field("upgrade", headers.Get(HeaderId::kUpgrade));
    if (switching) cursor.Line("connection: upgrade");
  }
  PutFraming(framing, cursor);
  if (framing.kind != BodyKind::kTunnel) {
    if (!context.keep_alive || framing.kind == BodyKind::kUntilClose) {
      cursor.Line("connection: close");
    } else if (context.peer == Protocol::kHttp10) {
      cursor.Line("connection: keep-alive");
    }
  }
  cursor.EndLine();
}

}  // namespace

void BodyWriter::Write(Buffer& data, Buffer& out) {
  switch (kind_) {
    case BodyKind::kNone:
      data.Clear();
      return;
    case BodyKind::kLength:
      if (data.size() > left_) {
        overrun_ = true;
        out.MoveFrom(data, static_cast<size_t>(left_));
        data.Clear();
        left_ = 0;
        return;
      }
      left_ -= data.size();
      out.MoveFrom(data);
      return;
    case BodyKind::kChunked: {
      if (data.empty()) return;
      char head[18];
      char* at = head + sizeof(head);
      *--at = '\n';
      *--at = '\r';
      for (size_t size = data.size(); size > 0; size >>= 4) *--at = "0123456789abcdef"[size & 15];
      out.Append({at, static_cast<size_t>(head + sizeof(head) - at)});
      out.MoveFrom(data);
      out.Append("\r\n");
      return;
    }
    case BodyKind::kUntilClose:
    case BodyKind::kTunnel:
      out.MoveFrom(data);
      return;
  }
}

bool BodyWriter::Finish(const HeaderMap* trailers, Buffer& out) {
  if (kind_ == BodyKind::kLength) {
    const bool exact = left_ == 0 && !overrun_;
    overrun_ = false;
    return exact;
  }
  if (kind_ != BodyKind::kChunked) return true;
  if (trailers == nullptr || trailers->size() == 0) {
    out.Append("0\r\n\r\n");
    return true;
  }
  WriteHead(BytesMax(*trailers), out, [trailers](Cursor& cursor) {
    cursor.Line("0");
    PutFields(*trailers, kSkippedIds | IdBit(HeaderId::kHost) | IdBit(HeaderId::kTrailer), cursor);
    cursor.EndLine();
  });
  return true;
}

RequestHeadInfo WriteRequestHead(const HeaderMap& headers, bool end_stream, bool upgrade_any_method,
                                 Buffer& out, BodyWriter* body) {
  RequestHeadInfo info;
  const bool connect = headers.method() == "CONNECT";
  info.from_extended_connect = connect && !headers.protocol().empty();
  info.is_connect = connect && !info.from_extended_connect;
  info.is_head = headers.method() == "HEAD";
  info.wants_upgrade =
      info.from_extended_connect || (headers.Has(HeaderId::kUpgrade) && !end_stream && !connect &&
                                     (upgrade_any_method || headers.method() == "GET"));
  info.own_websocket_key = info.from_extended_connect &&
                           absl::EqualsIgnoreCase(headers.protocol(), "websocket") &&
                           headers.Find("sec-websocket-key") == nullptr;
  const Framing framing = RequestFraming(headers, info, end_stream);
  absl::string_view target = info.is_connect ? headers.authority() : headers.path();
  std::string escaped;
  if (!IsValidTarget(target)) {
    escaped = EscapedTarget(target);
    target = escaped;
  }
  const size_t bytes_max = BytesMax(headers) + escaped.size();
  WriteHead(bytes_max, out,
            [&](Cursor& cursor) { PutRequest(headers, info, framing, target, cursor); });
  body->Start(framing.kind, framing.length);
  return info;
}

void WriteResponseHead(const HeaderMap& headers, const ResponseContext& context, bool end_stream,
                       Buffer& out, BodyWriter* body) {
  const Framing framing = ResponseFraming(headers, context, end_stream);
  WriteHead(BytesMax(headers), out,
            [&](Cursor& cursor) { PutResponse(headers, context, framing, cursor); });
  body->Start(framing.kind, framing.kind == BodyKind::kLength ? framing.length : 0);
}

void WriteInformational(const HeaderMap& headers, Buffer& out) {
  WriteHead(BytesMax(headers), out, [&headers](Cursor& cursor) {
    PutStatusLine(headers.status(), cursor);
    PutFields(headers, kSkippedIds, cursor);
    cursor.EndLine();
  });
}

void WriteErrorResponse(int status, Buffer& out) {
  out.Append(absl::StrCat("HTTP/1.1 ", status, " ", absl::string_view(ReasonPhrase(status)),
                          "\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"));
}

}  // namespace meltemi::http::h1
