#include "base/http/syntax.h"

#include <algorithm>
#include <array>
#include <limits>

#include "base/http/header_id.h"

namespace meltemi::http {
namespace {

enum CharClass : uint8_t {
  kTokenClass = 1,
  kHostClass = 2,    // unreserved / sub-delims of a reg-name; "%" is looked at apart
  kTargetClass = 4,  // visible ASCII but "#"
  kHexClass = 8,
  kDigitClass = 16,
};

constexpr bool Contains(const char* set, char c) {
  for (; *set != 0; ++set) {
    if (*set == c) return true;
  }
  return false;
}

constexpr std::array<uint8_t, 256> MakeClasses() {
  std::array<uint8_t, 256> classes = {};
  for (int i = 0x21; i < 0x7f; ++i) {
    const char c = static_cast<char>(i);
    const bool digit = c >= '0' && c <= '9';
    const bool alpha = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool hex = digit || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
    uint8_t bits = 0;
    if (digit || alpha || Contains("!#$%&'*+-.^_`|~", c)) bits |= kTokenClass;
    if (digit || alpha || Contains("-._~!$&'()*+,;=", c)) bits |= kHostClass;
    if (c != '#') bits |= kTargetClass;
    if (hex) bits |= kHexClass;
    if (digit) bits |= kDigitClass;
    classes[static_cast<size_t>(i)] = bits;
  }
  return classes;
}
constexpr std::array<uint8_t, 256> kClasses = MakeClasses();

bool Is(char c, uint8_t char_class) {
  return (kClasses[static_cast<uint8_t>(c)] & char_class) != 0;
}

bool AllAre(absl::string_view text, uint8_t char_class) {
  uint8_t bits = char_class;
  for (const char c : text) bits &= kClasses[static_cast<uint8_t>(c)];
  return bits != 0;
}

bool IsValidPort(absl::string_view port) {
  return port.size() <= 5 && AllAre(port, kDigitClass) &&
         (port.size() < 5 || port <= absl::string_view("65535"));
}

#if defined(__SSE2__)
// Whether `test` (16 bytes in, 16 bits out) holds for all bytes of a text of at least 16; the last
// block overlaps the one before.
template <typename Test>
bool AllBlocks(absl::string_view text, Test&& test) {
  const char* at = text.data();
  const char* const last = at + text.size() - 16;
  for (; at < last; at += 16) {
    if (test(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))) != 0xffff) return false;
  }
  return test(_mm_loadu_si128(reinterpret_cast<const __m128i*>(last))) == 0xffff;
}

// Letters, digits, "-" and ".": what nearly all host names are made of.
int PlainHostMask(__m128i bytes) {
  const __m128i lower = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
  const __m128i letter = _mm_and_si128(_mm_cmpgt_epi8(lower, _mm_set1_epi8('a' - 1)),
                                       _mm_cmpgt_epi8(_mm_set1_epi8('z' + 1), lower));
  // '-' 2d, '.' 2e, '/' 2f, then the digits: all of them but '/'.
  const __m128i rest =
      _mm_andnot_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('/')),
                       _mm_and_si128(_mm_cmpgt_epi8(bytes, _mm_set1_epi8('-' - 1)),
                                     _mm_cmpgt_epi8(_mm_set1_epi8('9' + 1), bytes)));
  return _mm_movemask_epi8(_mm_or_si128(letter, rest));
}
#endif

bool IsValidRegName(absl::string_view name) {
#if defined(__SSE2__)
  if (name.size() >= 16 && AllBlocks(name, PlainHostMask)) return true;
#endif
  if (AllAre(name, kHostClass)) return true;
  for (size_t i = 0; i < name.size(); ++i) {
    if (Is(name[i], kHostClass)) continue;
    if (name[i] != '%' || i + 2 >= name.size()) return false;
    if (!Is(name[i + 1], kHexClass) || !Is(name[i + 2], kHexClass)) return false;
    i += 2;
  }
  return true;
}

bool IsValidIpLiteral(absl::string_view inner) {
  if (inner.size() < 2) return false;
  for (const char c : inner) {
    if (!Is(c, kHexClass) && c != ':' && c != '.') return false;
  }
  return true;
}

}  // namespace

bool IsTokenChar(char c) { return Is(c, kTokenClass); }

bool IsToken(absl::string_view text) { return !text.empty() && AllAre(text, kTokenClass); }

bool IsValidAuthority(absl::string_view authority) {
  if (authority.empty()) return false;
  if (authority[0] == '[') {
    const size_t close = authority.find(']');
    if (close == absl::string_view::npos) return false;
    if (!IsValidIpLiteral(authority.substr(1, close - 1))) return false;
    const absl::string_view rest = authority.substr(close + 1);
    return rest.empty() || (rest[0] == ':' && IsValidPort(rest.substr(1)));
  }
  const size_t colon = authority.find(':');
  if (colon == absl::string_view::npos) return IsValidRegName(authority);
  return colon > 0 && IsValidRegName(authority.substr(0, colon)) &&
         IsValidPort(authority.substr(colon + 1));
}

bool IsValidTarget(absl::string_view target) {
  if (target.empty()) return false;
#if defined(__SSE2__)
  if (target.size() >= 16) {
    return AllBlocks(target, [](__m128i bytes) {
      // Signed: bytes above 0x7f are negative, so they fail as blanks and controls do.
      const __m128i visible = _mm_cmpgt_epi8(bytes, _mm_set1_epi8(0x20));
      const __m128i bad = _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('#')),
                                       _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f)));
      return _mm_movemask_epi8(_mm_andnot_si128(bad, visible));
    });
  }
#endif
  return AllAre(target, kTargetClass);
}

size_t CountControls(const char* at, size_t count) {
  size_t controls = 0;
#if defined(__SSE2__)
  while (count >= 16) {
    // Each byte of `sums` counts one column; 255 blocks can't overflow it.
    __m128i sums = _mm_setzero_si128();
    const size_t blocks = std::min<size_t>(count / 16, 255);
    for (size_t i = 0; i < blocks; ++i, at += 16) {
      const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
      const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
      const __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
      const __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
      sums = _mm_sub_epi8(sums, _mm_or_si128(_mm_andnot_si128(tab, low), del));
    }
    const __m128i halves = _mm_sad_epu8(sums, _mm_setzero_si128());
    controls += static_cast<size_t>(_mm_cvtsi128_si64(halves)) +
                static_cast<size_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(halves, halves)));
    count -= blocks * 16;
  }
#endif
  for (; count > 0; ++at, --count) {
    const auto c = static_cast<uint8_t>(*at);
    controls += (c < 0x20 && c != '\t') || c == 0x7f;
  }
  return controls;
}

bool IsValidFieldValue(absl::string_view value) {
  return CountControls(value.data(), value.size()) == 0;
}

bool ParseContentLength(absl::string_view text, uint64_t* length) {
  constexpr uint64_t kMax = std::numeric_limits<int64_t>::max();
  if (text.empty() || text.size() > 19) return false;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  if (value > kMax) return false;
  *length = value;
  return true;
}

bool IsHopByHop(absl::string_view lower_name) {
  switch (FindHeaderId(lower_name)) {
    case HeaderId::kConnection:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyConnection:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade:
    case HeaderId::kHttp2Settings:
      return true;
    default:
      return false;
  }
}

absl::string_view ReasonPhrase(int status) {
  // clang-format off
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 102: return "Processing";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 208: return "Already Reported";
    case 226: return "IM Used";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Payload Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 418: return "I'm a teapot";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Entity";
    case 423: return "Locked";
    case 424: return "Failed Dependency";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 506: return "Variant Also Negotiates";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    case 510: return "Not Extended";
    case 511: return "Network Authentication Required";
    default: return "";
  }
  // clang-format on
}

}  // namespace meltemi::http
