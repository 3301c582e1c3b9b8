#include "base/yaml/scalar.h"

#include <cmath>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace meltemi::yaml {
namespace {

bool IsNull(absl::string_view text) {
  return text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL";
}

// lower, Capitalised or UPPER: no other mixture counts.
bool IsWord(absl::string_view text, absl::string_view lower) {
  if (!absl::EqualsIgnoreCase(text, lower)) return false;
  if (text == lower || text == absl::AsciiStrToUpper(lower)) return true;
  return absl::ascii_isupper(static_cast<unsigned char>(text[0])) &&
         text.substr(1) == lower.substr(1);
}

std::optional<bool> AsBool(absl::string_view text) {
  if (text.size() > 5) return std::nullopt;
  for (const absl::string_view word : {"true", "yes", "on"}) {
    if (IsWord(text, word)) return true;
  }
  for (const absl::string_view word : {"false", "no", "off"}) {
    if (IsWord(text, word)) return false;
  }
  return std::nullopt;
}

std::optional<std::string> AsInteger(absl::string_view text) {
  const bool negative = absl::StartsWith(text, "-");
  absl::string_view digits = text;
  if (negative || absl::StartsWith(text, "+")) digits.remove_prefix(1);
  if (digits.empty() || !absl::ascii_isdigit(static_cast<unsigned char>(digits[0]))) {
    return std::nullopt;
  }
  int base = 10;
  if (absl::ConsumePrefix(&digits, "0x")) {
    base = 16;
  } else if (absl::ConsumePrefix(&digits, "0o")) {
    base = 8;
  } else if (absl::ConsumePrefix(&digits, "0b")) {
    base = 2;
  } else if (digits.size() > 1 && digits[0] == '0') {
    base = 8;
    digits.remove_prefix(1);
  }
  if (digits.empty()) return std::nullopt;
  uint64_t value = 0;
  for (const char c : digits) {
    if (c == '_') continue;
    const unsigned char u = static_cast<unsigned char>(c);
    if (!absl::ascii_isxdigit(u)) return std::nullopt;
    const int digit = absl::ascii_isdigit(u) ? c - '0' : absl::ascii_tolower(u) - 'a' + 10;
    if (digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(value, static_cast<uint64_t>(base), &value) ||
        __builtin_add_overflow(value, static_cast<uint64_t>(digit), &value)) {
      return std::nullopt;  // too large for an integer: a real, if decimal
    }
  }
  return absl::StrCat(negative && value != 0 ? "-" : "", value);
}

// [-+]? ( digits? . digits | digits .? ) ( [eE] [-+]? digits )?
bool LooksLikeReal(absl::string_view text) {
  const auto digits = [&text] {
    size_t count = 0;
    while (!text.empty() && absl::ascii_isdigit(static_cast<unsigned char>(text[0]))) {
      text.remove_prefix(1);
      ++count;
    }
    return count;
  };
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  size_t count = digits();
  if (absl::ConsumePrefix(&text, ".")) count += digits();
  if (count == 0) return false;
  if (!text.empty() && (text[0] == 'e' || text[0] == 'E')) {
    text.remove_prefix(1);
    if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
    if (digits() == 0) return false;
  }
  return text.empty();
}

std::optional<std::string> AsReal(absl::string_view text) {
  if (!LooksLikeReal(text)) return std::nullopt;
  double value;
  if (!absl::SimpleAtod(text, &value) || !std::isfinite(value)) return std::nullopt;
  std::string out;
  if (absl::ConsumePrefix(&text, "-")) out = "-";
  absl::ConsumePrefix(&text, "+");
  // JSON wants a digit on either side of the point and no leading zeros.
  while (text.size() > 1 && text[0] == '0' &&
         absl::ascii_isdigit(static_cast<unsigned char>(text[1]))) {
    text.remove_prefix(1);
  }
  if (text[0] == '.') out += "0";
  for (size_t i = 0; i < text.size(); ++i) {
    out += text[i];
    const bool digit_follows =
        i + 1 < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[i + 1]));
    if (text[i] == '.' && !digit_follows) out += "0";
  }
  return out;
}

}  // namespace

json::Value ResolvePlainScalar(absl::string_view text) {
  if (IsNull(text)) return json::Value();
  if (const auto value = AsBool(text)) return json::Value::Bool(*value);
  if (auto value = AsInteger(text)) return json::Value::Number(*std::move(value));
  if (auto value = AsReal(text)) return json::Value::Number(*std::move(value));
  return json::Value::String(std::string(text));
}

}  // namespace meltemi::yaml
