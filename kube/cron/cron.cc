#include "kube/cron/cron.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/algorithm/container.h"
#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "kube/status/field_error.h"

namespace meltemi::kube {
namespace {

constexpr int kYearsMax = 5;

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
                        GoQuote(text), ": ",
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

// "*", "5", "1-5", each perhaps with "/2": adds the values to `bits`. The answer: what is wrong.
std::string ParseRange(absl::string_view expression, const Bounds& bounds, uint64_t& bits,
                       bool& any) {
  const std::vector<absl::string_view> parts = absl::StrSplit(expression, '/');
  const std::vector<absl::string_view> limits = absl::StrSplit(parts[0], '-');
  int64_t begin = bounds.least, end = bounds.most, step = 1;
  const bool star = limits[0] == "*" || limits[0] == "?";
  if (!star) {
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
  std::string wrong = CheckLimits(expression, begin, end, step, bounds);
  if (!wrong.empty()) return wrong;
  for (int64_t value = begin; value <= end; value += std::min<int64_t>(step, 64)) {
    bits |= uint64_t{1} << value;
  }
  any = any || (star && step == 1);
  return "";
}

struct Unit {
  absl::string_view name;
  double seconds;
};
constexpr Unit kUnits[] = {{"ns", 1e-9}, {"us", 1e-6}, {"µs", 1e-6}, {"μs", 1e-6},
                           {"ms", 1e-3}, {"s", 1},     {"m", 60},    {"h", 3600}};

// time.ParseDuration, in its words.
std::string ParseGoDuration(absl::string_view text, double& seconds) {
  absl::string_view rest = text;
  const bool negative = absl::StartsWith(rest, "-");
  if (!rest.empty() && (rest[0] == '-' || rest[0] == '+')) rest.remove_prefix(1);
  const std::string invalid = absl::StrCat("time: invalid duration ", GoQuote(text));
  seconds = 0;
  if (rest == "0") return "";
  if (rest.empty()) return invalid;
  while (!rest.empty()) {
    size_t length = 0, digits = 0;
    while (length < rest.size() && (absl::ascii_isdigit(rest[length]) || rest[length] == '.')) {
      digits += rest[length] != '.' ? 1 : 0;
      ++length;
    }
    const absl::string_view number = rest.substr(0, length);
    double value = 0;
    if (digits == 0 || absl::c_count(number, '.') > 1 || !absl::SimpleAtod(number, &value)) {
      return invalid;
    }
    rest.remove_prefix(length);
    length = 0;
    while (length < rest.size() && rest[length] != '.' && !absl::ascii_isdigit(rest[length])) {
      ++length;
    }
    const absl::string_view name = rest.substr(0, length);
    if (name.empty()) return absl::StrCat("time: missing unit in duration ", GoQuote(text));
    const Unit* unit = absl::c_find_if(kUnits, [&](const Unit& u) { return u.name == name; });
    if (unit == std::end(kUnits)) {
      return absl::StrCat("time: unknown unit ", GoQuote(name), " in duration ", GoQuote(text));
    }
    seconds += value * unit->seconds;
    rest.remove_prefix(length);
  }
  constexpr double kSecondsMax = 9.2e9;  // of Go's durations
  if (seconds > kSecondsMax) return invalid;
  if (negative) seconds = -seconds;
  return "";
}

absl::TimeZone ZoneOf(absl::string_view name) {
  absl::TimeZone zone = absl::UTCTimeZone();
  if (!name.empty() && name != "Local") absl::LoadTimeZone(name, &zone);
  return zone;
}

absl::Time FromWall(WallTime time) { return absl::FromChrono(time); }

WallTime ToWall(absl::Time time) {
  return WallTime(std::chrono::seconds(absl::ToUnixSeconds(time)));
}

// When the civil second begins; one that a clock change skips begins when the change takes place.
absl::Time BeginOf(absl::CivilSecond civil, const absl::TimeZone& zone) {
  const absl::TimeZone::TimeInfo info = zone.At(civil);
  return info.kind == absl::TimeZone::TimeInfo::SKIPPED ? info.trans : info.pre;
}

}  // namespace

std::string CheckTimeZone(absl::string_view name) {
  absl::TimeZone zone;
  if (name.empty() || name == "UTC" || name == "Local") return "";
  return absl::LoadTimeZone(name, &zone) ? "" : absl::StrCat("unknown time zone ", name);
}

absl::StatusOr<CronSchedule> CronSchedule::Parse(absl::string_view text, absl::string_view zone) {
  if (text.empty()) return absl::InvalidArgumentError("empty spec string");
  if (absl::StartsWith(text, "TZ=") || absl::StartsWith(text, "CRON_TZ=")) {
    const size_t begin = text.find('=') + 1;
    const size_t end = text.find(' ');
    zone = text.substr(begin, end == absl::string_view::npos ? end : end - begin);
    const std::string wrong = CheckTimeZone(zone);
    if (!wrong.empty()) {
      return absl::InvalidArgumentError(absl::StrCat("provided bad location ", zone, ": ", wrong));
    }
    text = end == absl::string_view::npos ? "" : text.substr(end);
    text = absl::StripAsciiWhitespace(text);
  }
  const absl::TimeZone where = ZoneOf(zone);
  return absl::StartsWith(text, "@") ? ParseDescriptor(text, where) : ParseFields(text, where);
}

absl::StatusOr<CronSchedule> CronSchedule::ParseFields(absl::string_view text,
                                                       absl::TimeZone zone) {
  const std::vector<absl::string_view> fields =
      absl::StrSplit(text, absl::ByAnyChar(" \t\n\v\f\r"), absl::SkipEmpty());
  CronSchedule out;
  if (fields.size() != out.fields_.size()) {
    return absl::InvalidArgumentError(absl::StrCat("expected exactly 5 fields, found ",
                                                   fields.size(), ": [", absl::StrJoin(fields, " "),
                                                   "]"));
  }
  out.zone_ = zone;
  for (size_t i = 0; i < fields.size(); ++i) {
    Field& field = out.fields_[i];
    for (absl::string_view range : absl::StrSplit(fields[i], ',', absl::SkipEmpty())) {
      const std::string wrong = ParseRange(range, FieldBounds()[i], field.bits, field.any);
      if (!wrong.empty()) return absl::InvalidArgumentError(wrong);
    }
  }
  return out;
}

absl::StatusOr<CronSchedule> CronSchedule::ParseDescriptor(absl::string_view text,
                                                           absl::TimeZone zone) {
  static constexpr std::pair<absl::string_view, absl::string_view> kDescriptors[] = {
      {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"},
      {"@weekly", "0 0 * * 0"}, {"@daily", "0 0 * * *"},    {"@midnight", "0 0 * * *"},
      {"@hourly", "0 * * * *"}};
  for (const auto& [name, fields] : kDescriptors) {
    if (text == name) return ParseFields(fields, zone);
  }
  absl::string_view interval = text;
  if (!absl::ConsumePrefix(&interval, "@every ")) {
    return absl::InvalidArgumentError(absl::StrCat("unrecognized descriptor: ", text));
  }
  double seconds = 0;
  const std::string wrong = ParseGoDuration(interval, seconds);
  if (!wrong.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("failed to parse duration ", text, ": ", wrong));
  }
  CronSchedule out;
  out.every_ = absl::Seconds(std::max<int64_t>(1, static_cast<int64_t>(seconds)));
  return out;
}

bool CronSchedule::HasDay(absl::CivilDay day) const {
  const Field& of_month = fields_[2];
  const Field& of_week = fields_[4];
  // absl counts weekdays from Monday.
  const bool month_day = of_month.Has(day.day());
  const bool week_day = of_week.Has((static_cast<int>(absl::GetWeekday(day)) + 1) % 7);
  return of_month.any || of_week.any ? month_day && week_day : month_day || week_day;
}

std::optional<WallTime> CronSchedule::Next(WallTime after) const {
  const absl::Time start = absl::FromUnixSeconds(absl::ToUnixSeconds(FromWall(after)));
  if (every_.has_value()) return ToWall(start + *every_);
  // From the next whole minute on: to the first month, day, hour and minute that fit, and again
  // from the top whenever one of them has moved the others.
  absl::CivilSecond now = absl::ToCivilSecond(start, zone_);
  absl::Time time = start + absl::Seconds(60 - now.second());
  const auto year_max = now.year() + kYearsMax;
  for (;;) {
    now = absl::ToCivilSecond(time, zone_);
    if (now.year() > year_max) return std::nullopt;
    absl::Time next;
    if (!fields_[3].Has(now.month())) {
      next = BeginOf(absl::CivilSecond(absl::CivilMonth(now) + 1), zone_);
    } else if (!HasDay(absl::CivilDay(now))) {
      next = BeginOf(absl::CivilSecond(absl::CivilDay(now) + 1), zone_);
    } else if (!fields_[1].Has(now.hour())) {
      // In time, not on the clock: so an hour that comes twice is looked at twice.
      next = time + absl::Minutes(60 - now.minute()) - absl::Seconds(now.second());
    } else if (!fields_[0].Has(now.minute())) {
      next = time + absl::Minutes(1) - absl::Seconds(now.second());
    } else {
      return ToWall(time);
    }
    time = std::max(next, time + absl::Minutes(1));
  }
}

std::optional<WallTime> CronSchedule::Last(WallTime after, WallTime until) const {
  if (until <= after) return std::nullopt;
  if (every_.has_value()) {
    const WallTime first = *Next(after);
    if (first > until) return std::nullopt;
    const Duration interval = absl::ToChronoNanoseconds(*every_);
    return first + (until - first) / interval * interval;
  }
  // Ever further back, so that a long time costs no more than the gap before the last one.
  for (Duration back = minutes(1);; back *= 2) {
    const WallTime from = until - after > back ? until - back : after;
    std::optional<WallTime> last;
    for (std::optional<WallTime> time = Next(from); time.has_value() && *time <= until;
         time = Next(*time)) {
      last = time;
    }
    if (last.has_value() || from == after) return last;
  }
}

}  // namespace meltemi::kube
