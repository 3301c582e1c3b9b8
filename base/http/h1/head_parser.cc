#include "base/http/h1/head_parser.h"

#include <algorithm>
#include <cstring>

#include "absl/container/inlined_vector.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/http/syntax.h"

namespace meltemi::http::h1 {
namespace {

// How far behind its last byte a head in the arena may be read (16-byte loads).
constexpr size_t kSlackBytes = 16;
constexpr absl::string_view kVersionPrefix = "HTTP/";
constexpr size_t kVersionBytes = 8;  // "HTTP/1.1"

ParseError BadRequest(const char* what) { return {400, what}; }

ParseError LimitError(size_t line_begin, const char* what) {
  // Still within the first line: it is the request target that is too long.
  return {line_begin == 0 ? 414 : 431, what};
}

const char* ControlName(char c) {
  switch (c) {
    case '\n':
      return "a line ends in LF without CR";
    case '\r':
      return "CR without LF in the head";
    case '\0':
      return "NUL in the head";
    default:
      return "control character in the head";
  }
}

// ---- Scanning -----------------------------------------------------------------------------------

// Walks over the control characters of a head, which must be CRLF pairs alone.
class Scanner {
 public:
  Scanner(absl::string_view bytes, const HeadLimits& limits, HeadScan* scan, LineEnds* ends)
      : data_(bytes.data()), size_(bytes.size()), scan_(scan), ends_(ends) {
    lines_max_ = std::min(limits.count_max, kFieldsCountCap) + 1;
  }

  ScanResult Run(size_t* head_bytes, ParseError* error) {
    const char* const data = data_;
    const size_t size = size_;
    size_t at = scan_->at;
    size_t line_begin = scan_->line_begin;
    uint32_t count = 0;
    ScanResult result = ScanResult::kIncomplete;
    while (at < size) {
      const size_t left = size - at;
      uint32_t mask = left >= 16 ? ControlMask16(data + at) : ControlMaskUpTo15(data + at, left);
      const size_t base = at;
      at += std::min<size_t>(left, 16);
      bool waiting_for_lf = false;
      while (mask != 0) {
        const size_t cr = base + static_cast<size_t>(__builtin_ctz(mask));
        const bool pair = data[cr] == '\r' && cr + 1 < size && data[cr + 1] == '\n';
        if (!pair) {
          waiting_for_lf = data[cr] == '\r' && cr + 1 == size;
          if (!waiting_for_lf) return Fail(BadRequest(ControlName(data[cr])), error);
          at = cr;
          break;
        }
        if (cr == line_begin) {
          *head_bytes = cr + 2;
          result = ScanResult::kComplete;
          break;
        }
        if (count >= lines_max_) return Fail({431, "too many header fields"}, error);
        ends_->offsets[count++] = static_cast<uint32_t>(cr);
        line_begin = cr + 2;
        at = std::max(at, cr + 2);
        // Clears the bit of CR, and of LF unless that is in the next block.
        mask &= mask - 1;
        mask &= mask - (mask != 0);
      }
      if (waiting_for_lf || result == ScanResult::kComplete) break;
    }
    ends_->count = count;
    scan_->at = at;
    scan_->line_begin = line_begin;
    return result;
  }

 private:
  static ScanResult Fail(ParseError what, ParseError* error) {
    *error = what;
    return ScanResult::kError;
  }

  const char* data_;
  size_t size_;
  HeadScan* scan_;
  LineEnds* ends_;
  uint32_t lines_max_;
};

// ---- Fields -------------------------------------------------------------------------------------

// Puts the name at `at` in lower case, up to its colon. The line ends in CR, which no name holds,
// so the search ends within the line. nullptr: not a name followed by a colon.
char* LowerName(char* at) {
#if defined(__SSE2__)
  const __m128i index = _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  while (true) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const auto colons =
        static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(':'))));
    const int count = colons != 0 ? __builtin_ctz(colons) : 16;
    const __m128i lower = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    const __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(lower, _mm_set1_epi8('a' - 1)),
                                         _mm_cmpgt_epi8(_mm_set1_epi8('z' + 1), lower));
    const __m128i digit = _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8('0' - 1)),
                                        _mm_cmpgt_epi8(_mm_set1_epi8('9' + 1), bytes));
    const __m128i dash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('-'));
    const __m128i usual = _mm_or_si128(letter, _mm_or_si128(digit, dash));
    const uint32_t wanted = (1u << count) - 1;
    if ((static_cast<uint32_t>(_mm_movemask_epi8(usual)) & wanted) != wanted) {
      for (int i = 0; i < count; ++i) {
        if (!IsTokenChar(at[i])) return nullptr;
      }
    }
    const __m128i in_name = _mm_cmpgt_epi8(_mm_set1_epi8(static_cast<char>(count)), index);
    const __m128i bit = _mm_and_si128(_mm_and_si128(letter, in_name), _mm_set1_epi8(0x20));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), _mm_or_si128(bytes, bit));
    at += count;
    if (colons != 0) return at;
  }
#else
  for (; *at != ':'; ++at) {
    if (!IsTokenChar(*at)) return nullptr;
    if (*at >= 'A' && *at <= 'Z') *at = static_cast<char>(*at | 0x20);
  }
  return at;
#endif
}

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

// One line "name: value" whose CR is at `end`. The name is put in lower case in place.
ParseError SplitField(char* line, char* end, absl::string_view* name, absl::string_view* value) {
  if (IsBlank(*line)) return BadRequest("a header line begins with a blank (line folding)");
  char* const colon = LowerName(line);
  if (colon == nullptr) return BadRequest("a header name has a character that is not allowed");
  if (colon == line) return BadRequest("a header has no name");
  char* begin = colon + 1;
  while (begin < end && IsBlank(*begin)) ++begin;
  while (end > begin && IsBlank(end[-1])) --end;
  *name = {line, static_cast<size_t>(colon - line)};
  *value = {begin, static_cast<size_t>(end - begin)};
  return {};
}

constexpr uint64_t IdBit(HeaderId id) { return uint64_t{1} << static_cast<uint8_t>(id); }

// The fields that frame the message or belong to this hop alone.
constexpr uint64_t kSpecialIds = IdBit(HeaderId::kConnection) | IdBit(HeaderId::kContentLength) |
                                 IdBit(HeaderId::kHost) | IdBit(HeaderId::kHttp2Settings) |
                                 IdBit(HeaderId::kKeepAlive) | IdBit(HeaderId::kProxyConnection) |
                                 IdBit(HeaderId::kTe) | IdBit(HeaderId::kTransferEncoding) |
                                 IdBit(HeaderId::kUpgrade);
static_assert(HeaderId::kUpgrade < static_cast<HeaderId>(64));

bool IsSpecial(HeaderId id) {
  return id < static_cast<HeaderId>(64) && (kSpecialIds & IdBit(id)) != 0;
}

// Gathers the fields of one head, and what they say about framing and the connection.
class FieldReader {
 public:
  FieldReader(bool is_request, HeaderMap* headers, MessageInfo* info)
      : is_request_(is_request), headers_(headers), info_(info) {}

  ParseError Read(char* head, const LineEnds& ends) {
    for (uint32_t i = 1; i < ends.count; ++i) {
      absl::string_view name, value;
      char* const line = head + ends.offsets[i - 1] + 2;
      if (ParseError e = SplitField(line, head + ends.offsets[i], &name, &value)) return e;
      const HeaderId id = FindHeaderId(name);
      if (IsSpecial(id)) {
        if (ParseError e = TakeSpecial(id, name, value)) return e;
      } else {
        headers_->AddView(id, name, value);
      }
    }
    return Framing();
  }

  uint32_t hosts() const { return hosts_; }
  absl::string_view host() const { return host_; }
  bool wants_upgrade() const { return connection_upgrade_ && !upgrade_.empty(); }
  absl::string_view upgrade() const { return upgrade_; }

 private:
  ParseError TakeSpecial(HeaderId id, absl::string_view name, absl::string_view value) {
    switch (id) {
      case HeaderId::kHost:
        ++hosts_;
        host_ = value;
        if (!is_request_) headers_->AddView(id, name, value);
        return {};
      case HeaderId::kContentLength:
        if (info_->has_content_length) return BadRequest("Content-Length is repeated");
        if (!ParseContentLength(value, &info_->content_length)) {
          return BadRequest("Content-Length is not one number");
        }
        info_->has_content_length = true;
        headers_->AddView(id, name, value);
        return {};
      case HeaderId::kTransferEncoding:
        return TakeTransferEncoding(value);
      case HeaderId::kConnection:
        TakeConnection(value);
        return {};
      case HeaderId::kUpgrade:
        if (upgrade_.empty()) upgrade_ = value;
        return {};
      case HeaderId::kTe:
        TakeTe(value);
        return {};
      default:  // keep-alive, proxy-connection, http2-settings: between neighbours alone
        return {};
    }
  }

  ParseError TakeTransferEncoding(absl::string_view value) {
    if (has_transfer_encoding_) return BadRequest("Transfer-Encoding is repeated");
    has_transfer_encoding_ = true;
    if (absl::EqualsIgnoreCase(value, "chunked")) {
      info_->chunked = true;
      return {};
    }
    // RFC 9112 6.1, 6.3: an unknown coding is 501; chunked anywhere but last (and once) is 400.
    bool last_is_chunked = false;
    int chunked_count = 0;
    int others_count = 0;
    ForEachListElement(value, [&](absl::string_view coding) {
      last_is_chunked = absl::EqualsIgnoreCase(coding, "chunked");
      ++(last_is_chunked ? chunked_count : others_count);
      return true;
    });
    if (last_is_chunked && chunked_count == 1 && others_count > 0) {
      return {501, "Transfer-Encoding has a coding that is not supported"};
    }
    return BadRequest("Transfer-Encoding is not chunked alone");
  }

  void TakeConnection(absl::string_view value) {
    ForEachListElement(value, [this](absl::string_view option) {
      if (absl::EqualsIgnoreCase(option, "close")) {
        close_ = true;
      } else if (absl::EqualsIgnoreCase(option, "keep-alive")) {
        keep_alive_ = true;
      } else if (absl::EqualsIgnoreCase(option, "upgrade")) {
        connection_upgrade_ = true;
      } else {
        Nominate(option);
      }
      return true;
    });
  }

  // A field named in Connection is for this hop alone (RFC 9110 7.6.1) and is left out. Fields that
  // the mesh itself relies on can't be taken away that way.
  void Nominate(absl::string_view option) {
    char* copy = headers_->Allocate(option.size() + kSlackBytes);
    for (size_t i = 0; i < option.size(); ++i) copy[i] = absl::ascii_tolower(option[i]);
    const absl::string_view name(copy, option.size());
    if (FindHeaderId(name) != HeaderId::kUnknown || name == "authorization") return;
    nominated_.push_back(name);
  }

  void TakeTe(absl::string_view value) {
    if (headers_->Has(HeaderId::kTe)) return;
    ForEachListElement(value, [this](absl::string_view coding) {
      if (!absl::EqualsIgnoreCase(coding, "trailers")) return true;
      headers_->AddView(HeaderId::kTe, HeaderName(HeaderId::kTe), "trailers");
      return false;
    });
  }

  ParseError Framing() {
    if (has_transfer_encoding_) {
      if (info_->has_content_length) {
        return BadRequest("both Transfer-Encoding and Content-Length");
      }
      if (info_->protocol == Protocol::kHttp10) {
        return BadRequest("Transfer-Encoding in HTTP/1.0");
      }
      info_->body = BodyKind::kChunked;
    } else if (info_->has_content_length) {
      info_->body = info_->content_length > 0 ? BodyKind::kLength : BodyKind::kNone;
    }
    info_->keep_alive = info_->protocol == Protocol::kHttp11 ? !close_ : keep_alive_ && !close_;
    for (const absl::string_view name : nominated_) headers_->Remove(name);
    return {};
  }

  const bool is_request_;
  HeaderMap* headers_;
  MessageInfo* info_;
  uint32_t hosts_ = 0;
  absl::string_view host_;
  absl::string_view upgrade_;
  bool has_transfer_encoding_ = false;
  bool close_ = false;
  bool keep_alive_ = false;
  bool connection_upgrade_ = false;
  absl::InlinedVector<absl::string_view, 4> nominated_;
};

// ---- Start lines --------------------------------------------------------------------------------

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

ParseError ParseVersion(absl::string_view text, Protocol* protocol) {
  if (text == "HTTP/1.1") {
    *protocol = Protocol::kHttp11;
    return {};
  }
  if (text == "HTTP/1.0") {
    *protocol = Protocol::kHttp10;
    return {};
  }
  if (text.size() == kVersionBytes && text.substr(0, 5) == kVersionPrefix && IsDigit(text[5]) &&
      text[6] == '.' && IsDigit(text[7])) {
    return {505, "HTTP version is neither 1.0 nor 1.1"};
  }
  return BadRequest("the request line does not end in an HTTP version");
}

// http://authority/path?query: the authority replaces Host (RFC 9112 3.2.2).
ParseError TakeAbsoluteForm(absl::string_view target, HeaderMap* headers,
                            absl::string_view* authority) {
  const size_t colon = target.find(':');
  const absl::string_view scheme = target.substr(0, colon);
  if (!absl::EqualsIgnoreCase(scheme, "http") && !absl::EqualsIgnoreCase(scheme, "https")) {
    return BadRequest("the request target is neither a path nor an http URL");
  }
  absl::string_view rest = target.substr(colon + 1);
  if (rest.substr(0, 2) != "//") return BadRequest("the request target is not a full URL");
  rest.remove_prefix(2);
  const size_t slash = std::min(rest.find_first_of("/?"), rest.size());
  *authority = rest.substr(0, slash);
  if (!IsValidAuthority(*authority)) return BadRequest("the request target's host is not valid");
  rest.remove_prefix(slash);
  if (rest.empty()) {
    headers->set_path_view("/");
  } else if (rest[0] == '/') {
    headers->set_path_view(rest);
  } else {
    char* copy = headers->Allocate(rest.size() + 1);
    copy[0] = '/';
    memcpy(copy + 1, rest.data(), rest.size());
    headers->set_path_view({copy, rest.size() + 1});
  }
  return {};
}

// Sets the path; `*authority` is "" when the target names none.
ParseError TakeTarget(absl::string_view target, HeaderMap* headers, absl::string_view* authority) {
  if (headers->method() == "CONNECT") {
    const size_t colon = target.rfind(':');
    if (!IsValidAuthority(target) || colon == absl::string_view::npos ||
        colon + 1 == target.size() || target.back() == ']') {
      return BadRequest("the target of CONNECT is not host:port");
    }
    *authority = target;
    return {};
  }
  if (target[0] == '/') {
    headers->set_path_view(target);
    return {};
  }
  if (target == "*") {
    if (headers->method() != "OPTIONS") return BadRequest("the target * is for OPTIONS alone");
    headers->set_path_view(target);
    return {};
  }
  if (target.find(':') == absl::string_view::npos) {
    return BadRequest("the request target is neither a path nor an http URL");
  }
  return TakeAbsoluteForm(target, headers, authority);
}

ParseError ParseRequestLine(absl::string_view line, HeaderMap* headers, MessageInfo* info,
                            absl::string_view* authority) {
  const size_t space = line.find(' ');
  if (space == absl::string_view::npos) return BadRequest("the request line has no target");
  const absl::string_view method = line.substr(0, space);
  if (!IsToken(method)) return BadRequest("the method is not a token");
  absl::string_view rest = line.substr(space + 1);
  if (rest.size() < kVersionBytes + 2 || rest[rest.size() - kVersionBytes - 1] != ' ') {
    return BadRequest("the request line is not: method, target, version");
  }
  const ParseError error = ParseVersion(rest.substr(rest.size() - kVersionBytes), &info->protocol);
  if (error) return error;
  rest.remove_suffix(kVersionBytes + 1);
  if (!IsValidTarget(rest)) {
    return BadRequest("the request target has a character that is not allowed");
  }
  headers->set_method_view(method);
  return TakeTarget(rest, headers, authority);
}

ParseError CheckHost(const FieldReader& fields, const MessageInfo& info,
                     absl::string_view target_authority, HeaderMap* headers) {
  if (fields.hosts() > 1) return BadRequest("several Host headers");
  if (fields.hosts() == 0 && info.protocol == Protocol::kHttp11) {
    return BadRequest("no Host header");
  }
  const bool empty_allowed = info.protocol == Protocol::kHttp10;
  const bool valid = fields.host().empty() ? empty_allowed : IsValidAuthority(fields.host());
  if (fields.hosts() == 1 && !valid) return BadRequest("Host is not valid");
  headers->set_authority_view(target_authority.empty() ? fields.host() : target_authority);
  return {};
}

char* CopyToArena(absl::string_view bytes, HeaderMap* headers) {
  char* copy = headers->Allocate(bytes.size() + kSlackBytes);
  memcpy(copy, bytes.data(), bytes.size());
  memset(copy + bytes.size(), 0, kSlackBytes);
  return copy;
}

bool IsForbiddenTrailer(HeaderId id, absl::string_view name) {
  switch (id) {
    case HeaderId::kConnection:
    case HeaderId::kContentType:
    case HeaderId::kCookie:
    case HeaderId::kExpect:
    case HeaderId::kHost:
    case HeaderId::kHttp2Settings:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyConnection:
    case HeaderId::kSetCookie:
    case HeaderId::kTe:
    case HeaderId::kTrailer:
    case HeaderId::kUpgrade:
    case HeaderId::kXForwardedFor:
    case HeaderId::kXForwardedHost:
    case HeaderId::kXForwardedProto:
      return true;
    case HeaderId::kUnknown:
      return name == "authorization" || name == "proxy-authorization" ||
             name == "content-encoding" || name == "content-range" || name == "cache-control";
    default:
      return false;
  }
}

}  // namespace

ScanResult ScanHead(absl::string_view bytes, const HeadLimits& limits, HeadScan* scan,
                    LineEnds* ends, size_t* head_bytes, ParseError* error) {
  const absl::string_view allowed = bytes.substr(0, limits.bytes_max);
  const bool resumed = scan->at != 0;
  ends->count = 0;
  ScanResult result = Scanner(allowed, limits, scan, ends).Run(head_bytes, error);
  if (result == ScanResult::kComplete && resumed) {
    // The ends of the lines before were not kept: once more, now that all of it is there.
    *scan = HeadScan();
    ends->count = 0;
    result = Scanner(allowed, limits, scan, ends).Run(head_bytes, error);
  }
  if (result == ScanResult::kIncomplete && allowed.size() >= limits.bytes_max) {
    *error = LimitError(scan->line_begin, "the head is too large");
    return ScanResult::kError;
  }
  return result;
}

ParseError ParseRequestHead(absl::string_view head, const LineEnds& ends, bool upgrade_any_method,
                            HeaderMap* headers, MessageInfo* info) {
  char* const copy = CopyToArena(head, headers);
  absl::string_view target_authority;
  const absl::string_view line(copy, ends.offsets[0]);
  if (ParseError e = ParseRequestLine(line, headers, info, &target_authority)) return e;
  FieldReader fields(/*is_request=*/true, headers, info);
  if (ParseError e = fields.Read(copy, ends)) return e;
  if (ParseError e = CheckHost(fields, *info, target_authority, headers)) return e;
  if (headers->method() == "CONNECT" && info->body != BodyKind::kNone) {
    return BadRequest("CONNECT with a body");
  }
  if (fields.wants_upgrade() && info->protocol == Protocol::kHttp11 &&
      (headers->method() == "GET" || (upgrade_any_method && headers->method() != "CONNECT")) &&
      info->body == BodyKind::kNone && !absl::EqualsIgnoreCase(fields.upgrade(), "h2c")) {
    info->upgrade = true;
    headers->AddView(HeaderId::kUpgrade, HeaderName(HeaderId::kUpgrade), fields.upgrade());
  }
  return {};
}

ParseError ParseResponseHead(absl::string_view head, const LineEnds& ends, HeaderMap* headers,
                             MessageInfo* info) {
  char* const copy = CopyToArena(head, headers);
  const absl::string_view line(copy, ends.offsets[0]);
  // "HTTP/1.1 200" and, when anything follows, a space and the reason phrase.
  if (line.size() < 12 || line[8] != ' ' || (line.size() > 12 && line[12] != ' ')) {
    return BadRequest("the status line is not: version, status, reason");
  }
  if (ParseError e = ParseVersion(line.substr(0, kVersionBytes), &info->protocol)) return e;
  if (!IsDigit(line[9]) || !IsDigit(line[10]) || !IsDigit(line[11]) || line[9] == '0') {
    return BadRequest("the status is not a number from 100 to 999");
  }
  headers->set_status((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
  FieldReader fields(/*is_request=*/false, headers, info);
  if (ParseError e = fields.Read(copy, ends)) return e;
  if (headers->status() < 200 && info->body != BodyKind::kNone) {
    return BadRequest("an informational response with a body");
  }
  const bool switching = headers->status() == 101;
  if (switching && fields.wants_upgrade()) info->upgrade = true;
  if (!fields.upgrade().empty() && (switching || headers->status() == 426)) {
    headers->AddView(HeaderId::kUpgrade, HeaderName(HeaderId::kUpgrade), fields.upgrade());
  }
  return {};
}

ParseError ParseTrailers(absl::string_view section, const LineEnds& ends, HeaderMap* trailers) {
  char* const copy = CopyToArena(section, trailers);
  char* line = copy;
  for (uint32_t i = 0; i < ends.count; ++i) {
    absl::string_view name, value;
    char* const end = copy + ends.offsets[i];
    if (ParseError e = SplitField(line, end, &name, &value)) return e;
    line = end + 2;
    const HeaderId id = FindHeaderId(name);
    if (id == HeaderId::kTransferEncoding || id == HeaderId::kContentLength) {
      return BadRequest("a trailer that frames a message");
    }
    if (!IsForbiddenTrailer(id, name)) trailers->AddView(id, name, value);
  }
  return {};
}

}  // namespace meltemi::http::h1
