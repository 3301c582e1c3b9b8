#include "base/protojson/duration.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"

namespace meltemi::protojson {
namespace {

constexpr int64_t kNanosPerSecond = 1'000'000'000;
constexpr int64_t kSecondsMax = 315'576'000'000;
// Beyond every valid duration in nanoseconds, far from overflow.
constexpr __int128 kNanosMax = static_cast<__int128>(kSecondsMax) * kNanosPerSecond;

std::optional<int64_t> TakeUnit(absl::string_view* text) {
  struct Unit {
    absl::string_view name;
    int64_t nanos;
  };
  static constexpr Unit kUnits[] = {
      {"ns", 1},
      {"us", 1'000},
      {"\xC2\xB5s", 1'000},  // U+00B5
      {"\xCE\xBCs", 1'000},  // U+03BC
      {"ms", 1'000'000},
      {"s", kNanosPerSecond},
      {"m", 60 * kNanosPerSecond},
      {"h", 3600 * kNanosPerSecond},
  };
  for (const Unit& unit : kUnits) {
    if (absl::ConsumePrefix(text, unit.name)) return unit.nanos;
  }
  return std::nullopt;
}

bool StartsWithDigit(absl::string_view text) {
  return !text.empty() && absl::ascii_isdigit(static_cast<unsigned char>(text[0]));
}

// One "1.5h" in nanoseconds, fractions of them cut off.
std::optional<__int128> TakeTerm(absl::string_view* text) {
  __int128 whole = 0;
  bool any = false;
  while (StartsWithDigit(*text)) {
    whole = whole * 10 + ((*text)[0] - '0');
    if (whole > kNanosMax) return std::nullopt;
    text->remove_prefix(1);
    any = true;
  }
  __int128 fraction = 0;
  __int128 scale = 1;
  if (absl::ConsumePrefix(text, ".")) {
    while (StartsWithDigit(*text)) {
      if (scale < 1'000'000'000'000'000) {
        fraction = fraction * 10 + ((*text)[0] - '0');
        scale *= 10;
      }
      text->remove_prefix(1);
      any = true;
    }
  }
  if (!any) return std::nullopt;
  const std::optional<int64_t> unit = TakeUnit(text);
  if (!unit.has_value()) return std::nullopt;
  return whole * *unit + fraction * *unit / scale;
}

}  // namespace

std::optional<DurationParts> ParseDuration(absl::string_view text) {
  bool negative = false;
  if (absl::ConsumePrefix(&text, "-")) {
    negative = true;
  } else {
    absl::ConsumePrefix(&text, "+");
  }
  if (text == "0") return DurationParts{};
  if (text.empty()) return std::nullopt;
  __int128 nanos = 0;
  while (!text.empty()) {
    const std::optional<__int128> term = TakeTerm(&text);
    if (!term.has_value()) return std::nullopt;
    nanos += *term;
    if (nanos > kNanosMax) return std::nullopt;
  }
  if (negative) nanos = -nanos;
  return DurationParts{.seconds = static_cast<int64_t>(nanos / kNanosPerSecond),
                       .nanos = static_cast<int32_t>(nanos % kNanosPerSecond)};
}

std::string FormatDuration(const DurationParts& duration) {
  const bool negative = duration.seconds < 0 || duration.nanos < 0;
  std::string out = absl::StrCat(negative ? "-" : "",
                                 duration.seconds < 0 ? -duration.seconds : duration.seconds);
  const int32_t nanos = duration.nanos < 0 ? -duration.nanos : duration.nanos;
  if (nanos % 1'000'000 == 0) {
    if (nanos != 0) absl::StrAppendFormat(&out, ".%03d", nanos / 1'000'000);
  } else if (nanos % 1'000 == 0) {
    absl::StrAppendFormat(&out, ".%06d", nanos / 1'000);
  } else {
    absl::StrAppendFormat(&out, ".%09d", nanos);
  }
  return out + "s";
}

}  // namespace meltemi::protojson
