#include "orchestrator/apiserver/kinds/cron_schedule.h"

#include <cstdint>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/time.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {
namespace {

struct Bounds {
  int64_t least, most;
  std::vector<absl::string_view> names;  // of least, least + 1 …
};

const std::vector<Bounds>& FieldBounds() {
  static const auto& bounds = *new std::vector<Bounds>{
      {0, 59, {}},
      {0, 23, {}},
      {1, 31, {}},
      {1, 12, {"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
      {0, 6, {"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
  };
  return bounds;
}

bool IsDigits(absl::string_view text) {
  return !text.empty() && absl::c_all_of(text, [](char c) { return absl::ascii_isdigit(c); });
}

// strconv.Atoi, in its words.
std::string ParseInt(absl::string_view text, int64_t& number) {
  absl::string_view digits = text;
  if (!digits.empty() && (digits[0] == '-' || digits[0] == '+')) digits.remove_prefix(1);
  if (!IsDigits(digits) || !absl::SimpleAtoi(text, &number)) {
    return absl::StrCat("failed to parse int from ", text, ": strconv.Atoi: parsing ",
                        kube::GoQuote(text), ": ",
                        IsDigits(digits) ? "value out of range" : "invalid syntax");
  }
  if (number < 0) return absl::StrCat("negative number (", number, ") not allowed: ", text);
  return "";
}

std::string ParseIntOrName(absl::string_view text, const Bounds& bounds, int64_t& number) {
  const std::string lower = absl::AsciiStrToLower(text);
  const auto name = absl::c_find(bounds.names, lower);
  if (name == bounds.names.end()) return ParseInt(text, number);
  number = bounds.least + (name - bounds.names.begin());
  return "";
}

std::string CheckLimits(absl::string_view expression, int64_t begin, int64_t end, int64_t step,
                        const Bounds& bounds) {
  if (begin < bounds.least) {
    return absl::StrCat("beginning of range (", begin, ") below minimum (", bounds.least,
                        "): ", expression);
  }
  if (end > bounds.most) {
    return absl::StrCat("end of range (", end, ") above maximum (", bounds.most, "): ", expression);
  }
  if (begin > end) {
    return absl::StrCat("beginning of range (", begin, ") beyond end of range (", end,
                        "): ", expression);
  }
  if (step == 0) {
    return absl::StrCat("step of range should be a positive number: ", expression);
  }
  return "";
}

// "*", "5", "1-5", each perhaps with "/2".
std::string CheckRange(absl::string_view expression, const Bounds& bounds) {
  const std::vector<absl::string_view> parts = absl::StrSplit(expression, '/');
  const std::vector<absl::string_view> limits = absl::StrSplit(parts[0], '-');
  int64_t begin = bounds.least, end = bounds.most, step = 1;
  if (limits[0] != "*" && limits[0] != "?") {
    std::string wrong = ParseIntOrName(limits[0], bounds, begin);
    if (!wrong.empty()) return wrong;
    if (limits.size() > 2) return absl::StrCat("too many hyphens: ", expression);
    end = begin;
    if (limits.size() == 2) wrong = ParseIntOrName(limits[1], bounds, end);
    if (!wrong.empty()) return wrong;
  }
  if (parts.size() > 2) return absl::StrCat("too many slashes: ", expression);
  if (parts.size() == 2) {
    std::string wrong = ParseInt(parts[1], step);
    if (!wrong.empty()) return wrong;
    if (limits.size() == 1) end = bounds.most;
  }
  return CheckLimits(expression, begin, end, step, bounds);
}

// time.ParseDuration, in its words.
std::string CheckGoDuration(absl::string_view text) {
  absl::string_view rest = text;
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) rest.remove_prefix(1);
  const std::string invalid = absl::StrCat("time: invalid duration ", kube::GoQuote(text));
  if (rest == "0") return "";
  if (rest.empty()) return invalid;
  while (!rest.empty()) {
    size_t length = 0, digits = 0;
    while (length < rest.size() && (absl::ascii_isdigit(rest[length]) || rest[length] == '.')) {
      digits += rest[length] != '.' ? 1 : 0;
      ++length;
    }
    if (digits == 0 || absl::c_count(rest.substr(0, length), '.') > 1) return invalid;
    rest.remove_prefix(length);
    length = 0;
    while (length < rest.size() && rest[length] != '.' && !absl::ascii_isdigit(rest[length])) {
      ++length;
    }
    const absl::string_view unit = rest.substr(0, length);
    if (unit.empty()) return absl::StrCat("time: missing unit in duration ", kube::GoQuote(text));
    static constexpr absl::string_view kUnits[] = {"ns", "us", "µs", "μs", "ms", "s", "m", "h"};
    if (!absl::c_linear_search(kUnits, unit)) {
      return absl::StrCat("time: unknown unit ", kube::GoQuote(unit), " in duration ",
                          kube::GoQuote(text));
    }
    rest.remove_prefix(length);
  }
  return "";
}

std::string CheckDescriptor(absl::string_view text) {
  static constexpr absl::string_view kDescriptors[] = {
      "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"};
  if (absl::c_linear_search(kDescriptors, text)) return "";
  absl::string_view interval = text;
  if (!absl::ConsumePrefix(&interval, "@every ")) {
    return absl::StrCat("unrecognized descriptor: ", text);
  }
  const std::string wrong = CheckGoDuration(interval);
  return wrong.empty() ? "" : absl::StrCat("failed to parse duration ", text, ": ", wrong);
}

}  // namespace

std::string CheckTimeZone(absl::string_view name) {
  absl::TimeZone zone;
  if (name.empty() || name == "UTC" || name == "Local") return "";
  return absl::LoadTimeZone(name, &zone) ? "" : absl::StrCat("unknown time zone ", name);
}

std::string CheckCronSchedule(absl::string_view schedule) {
  if (schedule.empty()) return "empty spec string";
  if (absl::StartsWith(schedule, "TZ=") || absl::StartsWith(schedule, "CRON_TZ=")) {
    const size_t begin = schedule.find('=') + 1;
    const size_t end = schedule.find(' ');
    const absl::string_view zone =
        schedule.substr(begin, end == absl::string_view::npos ? end : end - begin);
    const std::string wrong = CheckTimeZone(zone);
    if (!wrong.empty()) return absl::StrCat("provided bad location ", zone, ": ", wrong);
    schedule = end == absl::string_view::npos ? "" : schedule.substr(end);
    schedule = absl::StripAsciiWhitespace(schedule);
  }
  if (absl::StartsWith(schedule, "@")) return CheckDescriptor(schedule);
  const std::vector<absl::string_view> fields =
      absl::StrSplit(schedule, absl::ByAnyChar(" \t\n\v\f\r"), absl::SkipEmpty());
  if (fields.size() != FieldBounds().size()) {
    return absl::StrCat("expected exactly 5 fields, found ", fields.size(), ": [",
                        absl::StrJoin(fields, " "), "]");
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    for (absl::string_view range : absl::StrSplit(fields[i], ',', absl::SkipEmpty())) {
      std::string wrong = CheckRange(range, FieldBounds()[i]);
      if (!wrong.empty()) return wrong;
    }
  }
  return "";
}

}  // namespace meltemi::apiserver
