#include "kube/codec/scanner.h"

#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "base/json/utf8.h"
#include "base/json/value.h"

namespace meltemi::kube {
namespace {

constexpr absl::string_view kReplacement = "\xEF\xBF\xBD";

// The high bit of each byte that ends a run of plain ASCII in a string: a quote, a backslash, a
// control character, or the beginning of something longer.
uint64_t Special(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101u, kHigh = 0x8080808080808080u;
  const uint64_t quote = word ^ (kOnes * '"');
  const uint64_t slash = word ^ (kOnes * '\\');
  return (((quote - kOnes) & ~quote) | ((slash - kOnes) & ~slash) | (word - kOnes * 0x20) | word) &
         kHigh;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool TakeHex4(absl::string_view* text, uint32_t* out) {
  if (text->size() < 4) return false;
  *out = 0;
  for (size_t i = 0; i < 4; ++i) {
    const unsigned char c = static_cast<unsigned char>((*text)[i]);
    if (!absl::ascii_isxdigit(c)) return false;
    *out = *out * 16 + static_cast<uint32_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  text->remove_prefix(4);
  return true;
}

void AppendUtf8(uint32_t point, std::string* out) {
  const auto tail = [&](int shift) {
    out->push_back(static_cast<char>(0x80 | ((point >> shift) & 0x3F)));
  };
  if (point < 0x80) {
    out->push_back(static_cast<char>(point));
  } else if (point < 0x800) {
    out->push_back(static_cast<char>(0xC0 | (point >> 6)));
    tail(0);
  } else if (point < 0x10000) {
    out->push_back(static_cast<char>(0xE0 | (point >> 12)));
    tail(6);
    tail(0);
  } else {
    out->push_back(static_cast<char>(0xF0 | (point >> 18)));
    tail(12);
    tail(6);
    tail(0);
  }
}

// What follows "\u". A high half that no low one follows is replaced.
bool TakeEscapedPoint(absl::string_view* text, std::string* out) {
  uint32_t point;
  if (!TakeHex4(text, &point)) return false;
  if (point < 0xD800 || point > 0xDFFF) {
    AppendUtf8(point, out);
    return true;
  }
  if (point < 0xDC00 && text->size() >= 6 && (*text)[0] == '\\' && (*text)[1] == 'u') {
    absl::string_view rest = text->substr(2);
    uint32_t low;
    if (TakeHex4(&rest, &low) && low >= 0xDC00 && low <= 0xDFFF) {
      *text = rest;
      AppendUtf8(0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00), out);
      return true;
    }
  }
  out->append(kReplacement.data(), kReplacement.size());
  return true;
}

bool TakeEscape(absl::string_view* text, std::string* out) {
  if (text->empty()) return false;
  const char c = text->front();
  text->remove_prefix(1);
  if (c == 'u') return TakeEscapedPoint(text, out);
  constexpr absl::string_view kFrom = "\"\\/bfnrt", kTo = "\"\\/\b\f\n\r\t";
  const size_t at = kFrom.find(c);
  if (at == absl::string_view::npos) return false;
  out->push_back(kTo[at]);
  return true;
}

// Escapes become what they stand for.
bool Unescape(absl::string_view text, std::string* out) {
  out->clear();
  while (!text.empty()) {
    const unsigned char c = static_cast<unsigned char>(text[0]);
    if (c == '\\') {
      text.remove_prefix(1);
      if (!TakeEscape(&text, out)) return false;
      continue;
    }
    const size_t length = c < 0x80 ? 1 : json::Utf8SequenceLength(text);
    if (length == 0) {
      out->append(kReplacement.data(), kReplacement.size());
      text.remove_prefix(1);
      continue;
    }
    out->append(text.data(), length);
    text.remove_prefix(length);
  }
  return true;
}

}  // namespace

bool JsonScanner::TakeWord(absl::string_view word) {
  Peek();
  if (static_cast<size_t>(end_ - at_) < word.size()) return false;
  if (std::memcmp(at_, word.data(), word.size()) != 0) return false;
  at_ += word.size();
  return true;
}

bool JsonScanner::SkipString(absl::string_view* inside, bool* plain) {
  if (!Take('"')) return false;
  const char* const begin = at_;
  *plain = true;
  while (true) {
    while (end_ - at_ >= 8) {
      uint64_t word;
      std::memcpy(&word, at_, 8);
      if (const uint64_t special = Special(word); special != 0) {
        if constexpr (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__) {
          at_ += __builtin_ctzll(special) / 8;
        }
        break;
      }
      at_ += 8;
    }
    if (at_ == end_) return false;
    const unsigned char c = static_cast<unsigned char>(*at_++);
    if (c == '"') {
      *inside = absl::string_view(begin, static_cast<size_t>(at_ - 1 - begin));
      return true;
    }
    if (c < 0x20) return false;
    if (c == '\\') {
      *plain = false;
      if (at_ == end_) return false;
      ++at_;
    }
    if (c >= 0x80) *plain = false;
  }
}

bool JsonScanner::TakeString(std::string* out) {
  absl::string_view inside;
  bool plain;
  if (!SkipString(&inside, &plain)) return false;
  if (!plain) return Unescape(inside, out);
  out->assign(inside.data(), inside.size());
  return true;
}

bool JsonScanner::TakeKey(std::string* scratch, absl::string_view* key) {
  bool plain;
  if (!SkipString(key, &plain)) return false;
  if (!plain) {
    if (!Unescape(*key, scratch)) return false;
    *key = *scratch;
  }
  return Take(':');
}

bool JsonScanner::TakeNumber(absl::string_view* number) {
  Peek();
  const char* const begin = at_;
  const auto digits = [this] {
    const char* const first = at_;
    while (at_ != end_ && IsDigit(*at_)) ++at_;
    return at_ != first;
  };
  if (at_ != end_ && *at_ == '-') ++at_;
  if (at_ != end_ && *at_ == '0') {
    ++at_;
  } else if (!digits()) {
    return false;
  }
  if (at_ != end_ && *at_ == '.') {
    ++at_;
    if (!digits()) return false;
  }
  if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
    ++at_;
    if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
    if (!digits()) return false;
  }
  *number = absl::string_view(begin, static_cast<size_t>(at_ - begin));
  return true;
}

bool JsonScanner::TakeAny(int depth_max, absl::string_view* text) {
  const char first = Peek();
  const char* const begin = at_;
  absl::string_view ignored;
  bool plain, ok;
  switch (first) {
    case '{':
      ok = SkipMembers(depth_max);
      break;
    case '[':
      ok = SkipItems(depth_max);
      break;
    case '"':
      ok = SkipString(&ignored, &plain);
      break;
    case 't':
      ok = TakeWord("true");
      break;
    case 'f':
      ok = TakeWord("false");
      break;
    case 'n':
      ok = TakeWord("null");
      break;
    default:
      ok = TakeNumber(&ignored);
  }
  if (ok && text != nullptr) *text = absl::string_view(begin, static_cast<size_t>(at_ - begin));
  return ok;
}

bool JsonScanner::SkipMembers(int depth_max) {
  if (depth_max <= 0 || !Take('{')) return false;
  if (Take('}')) return true;
  do {
    absl::string_view key;
    bool plain;
    if (!SkipString(&key, &plain) || !Take(':') || !TakeAny(depth_max - 1, nullptr)) return false;
  } while (Take(','));
  return Take('}');
}

bool JsonScanner::SkipItems(int depth_max) {
  if (depth_max <= 0 || !Take('[')) return false;
  if (Take(']')) return true;
  do {
    if (!TakeAny(depth_max - 1, nullptr)) return false;
  } while (Take(','));
  return Take(']');
}

bool ToInt64(absl::string_view number, int64_t* out) {
  if (number.size() <= 18 && number.find_first_not_of("-0123456789") == absl::string_view::npos) {
    const bool negative = number[0] == '-';
    int64_t value = 0;
    for (size_t i = negative ? 1 : 0; i < number.size(); ++i)
      value = value * 10 + (number[i] - '0');
    *out = negative ? -value : value;
    return true;
  }
  const auto value = json::Value::Number(std::string(number)).AsInt64();
  if (value.has_value()) *out = *value;
  return value.has_value();
}

}  // namespace meltemi::kube
