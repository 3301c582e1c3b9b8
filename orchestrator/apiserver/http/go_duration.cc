#include "orchestrator/apiserver/http/go_duration.h"

#include <array>
#include <cmath>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace meltemi::apiserver {
namespace {

constexpr std::array<std::pair<absl::string_view, double>, 8> kUnits = {{
    {"ns", 1},
    {"us", 1e3},
    {"\xc2\xb5s", 1e3},  // U+00B5
    {"\xce\xbcs", 1e3},  // U+03BC
    {"ms", 1e6},
    {"s", 1e9},
    {"m", 60e9},
    {"h", 3600e9},
}};

bool IsNumberChar(char c) { return absl::ascii_isdigit(static_cast<unsigned char>(c)) || c == '.'; }

}  // namespace

absl::StatusOr<Duration> ParseGoDuration(absl::string_view text) {
  const auto error = [text](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("time: ", what, " \"", text, "\""));
  };
  absl::string_view rest = text;
  const bool negative = absl::ConsumePrefix(&rest, "-");
  if (!negative) absl::ConsumePrefix(&rest, "+");
  if (rest == "0") return Duration(0);
  if (rest.empty()) return error("invalid duration");
  double total = 0;
  while (!rest.empty()) {
    size_t digits = 0;
    while (digits < rest.size() && IsNumberChar(rest[digits])) ++digits;
    const absl::string_view number = rest.substr(0, digits);
    double value = 0;
    if (number.empty() || number == "." || !absl::SimpleAtod(number, &value)) {
      return error("invalid duration");
    }
    rest.remove_prefix(digits);
    size_t letters = 0;
    while (letters < rest.size() && !IsNumberChar(rest[letters])) ++letters;
    const absl::string_view unit = rest.substr(0, letters);
    if (unit.empty()) return error("missing unit in duration");
    rest.remove_prefix(letters);
    double factor = 0;
    for (const auto& [name, nanoseconds] : kUnits) {
      if (name == unit) factor = nanoseconds;
    }
    if (factor == 0) return error(absl::StrCat("unknown unit \"", unit, "\" in duration"));
    total += value * factor;
  }
  if (!std::isfinite(total) || total >= 9.2e18) return error("invalid duration");
  const Duration duration(static_cast<int64_t>(total));
  return negative ? -duration : duration;
}

}  // namespace meltemi::apiserver
