// What the RFCs allow in tokens, targets, authorities and field values; shared by both codecs.
//
// Stateless. The scans look at 16 bytes at a time where the CPU can.
#pragma once

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace meltemi::http {

// RFC 9110 5.6.2 token: not empty.
bool IsToken(absl::string_view text);
// One character of a token.
bool IsTokenChar(char c);
// RFC 9110 7.2 uri-host [ ":" port ], no user information; not empty.
bool IsValidAuthority(absl::string_view authority);
// A request target of visible ASCII without a fragment: not empty.
bool IsValidTarget(absl::string_view target);
// No control characters but the tab (RFC 9110 5.5); bytes above 0x7f are allowed.
bool IsValidFieldValue(absl::string_view value);
// Digits only, no sign, no list, below 2^63. False otherwise.
bool ParseContentLength(absl::string_view text, uint64_t* length);
// "OK" for 200 …; "" when there is no registered one.
absl::string_view ReasonPhrase(int status);

// True for names that a proxy must not pass on: connection, keep-alive, proxy-connection,
// transfer-encoding, upgrade, http2-settings (RFC 9110 7.6.1); te is for the caller to look at.
bool IsHopByHop(absl::string_view lower_name);

// Calls f(token) for each element of a comma-separated list, blanks around it removed, empty ones
// left out. f returns false to stop.
template <typename F>
void ForEachListElement(absl::string_view list, F&& f) {
  size_t begin = 0;
  while (begin <= list.size()) {
    size_t end = list.find(',', begin);
    if (end == absl::string_view::npos) end = list.size();
    absl::string_view element = list.substr(begin, end - begin);
    while (!element.empty() && (element.front() == ' ' || element.front() == '\t')) {
      element.remove_prefix(1);
    }
    while (!element.empty() && (element.back() == ' ' || element.back() == '\t')) {
      element.remove_suffix(1);
    }
    if (!element.empty() && !f(element)) return;
    begin = end + 1;
  }
}

// One bit for each of the 16 bytes at `at` that is a control character other than the tab.
inline uint32_t ControlMask16(const char* at) {
#if defined(__SSE2__)
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  const __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
  const __m128i tab = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\t'));
  const __m128i del = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_or_si128(_mm_andnot_si128(tab, low), del)));
#else
  uint32_t mask = 0;
  for (int i = 0; i < 16; ++i) {
    const auto c = static_cast<uint8_t>(at[i]);
    mask |= static_cast<uint32_t>((c < 0x20 && c != '\t') || c == 0x7f) << i;
  }
  return mask;
#endif
}

// The same for the `count` (< 16) bytes at `at`, reading no further.
inline uint32_t ControlMaskUpTo15(const char* at, size_t count) {
  uint32_t mask = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto c = static_cast<uint8_t>(at[i]);
    mask |= static_cast<uint32_t>((c < 0x20 && c != '\t') || c == 0x7f) << i;
  }
  return mask;
}

// How many control characters other than the tab there are in [at, at + count).
size_t CountControls(const char* at, size_t count);

}  // namespace meltemi::http
