#include "kube/object/object.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"

namespace meltemi::kube {
namespace {

using json::Value;

const Value& EmptyObject() {
  static const Value* const empty = new Value(Value::Object());
  return *empty;
}

std::optional<absl::string_view> TextOf(const Value* map, absl::string_view key) {
  const Value* value = map == nullptr ? nullptr : map->Find(key);
  if (value == nullptr || !value->is_string()) return std::nullopt;
  return value->text();
}

// Days since 1970-01-01 of a date of the proleptic Gregorian calendar, and back (Howard Hinnant,
// "chrono-compatible low-level date algorithms").
int64_t DaysOf(int64_t year, int month, int day) {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = (year >= 0 ? year : year - 399) / 400;
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

struct Date {
  int64_t year;
  int month, day;
};

Date DateOf(int64_t days) {
  days += 719468;
  const int64_t era = (days >= 0 ? days : days - 146096) / 146097;
  const int64_t day_of_era = days - era * 146097;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_index = (5 * day_of_year + 2) / 153;
  const int month = static_cast<int>(month_index < 10 ? month_index + 3 : month_index - 9);
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month,
          static_cast<int>(day_of_year - (153 * month_index + 2) / 5 + 1)};
}

std::string SecondsText(int64_t unix_seconds) {
  int64_t days = unix_seconds / 86400;
  int64_t rest = unix_seconds % 86400;
  if (rest < 0) {
    rest += 86400;
    --days;
  }
  const Date date = DateOf(days);
  return absl::StrFormat("%04d-%02d-%02dT%02d:%02d:%02d", date.year, date.month, date.day,
                         rest / 3600, rest / 60 % 60, rest % 60);
}

// Exactly `digits` digits from the front of `*text`, within bounds.
bool TakeNumber(absl::string_view* text, size_t digits, int min, int max, int* out) {
  if (text->size() < digits) return false;
  int value = 0;
  for (size_t i = 0; i < digits; ++i) {
    const char c = (*text)[i];
    if (c < '0' || c > '9') return false;
    value = value * 10 + (c - '0');
  }
  text->remove_prefix(digits);
  *out = value;
  return value >= min && value <= max;
}

bool TakeChar(absl::string_view* text, absl::string_view any_of) {
  if (text->empty() || !absl::StrContains(any_of, text->substr(0, 1))) return false;
  text->remove_prefix(1);
  return true;
}

int DaysInMonth(int year, int month) {
  static constexpr int kDays[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month == 2 && leap ? 29 : kDays[month - 1];
}

// ".123456789": microseconds; further digits are dropped.
bool TakeFraction(absl::string_view* text, int64_t* micros) {
  *micros = 0;
  if (!TakeChar(text, ".,")) return true;
  int64_t unit = 100000;
  size_t digits = 0;
  while (!text->empty() && (*text)[0] >= '0' && (*text)[0] <= '9') {
    *micros += ((*text)[0] - '0') * unit;
    unit /= 10;
    text->remove_prefix(1);
    ++digits;
  }
  return digits > 0;
}

bool TakeOffset(absl::string_view* text, int64_t* seconds) {
  *seconds = 0;
  if (TakeChar(text, "Z")) return true;
  if (text->empty()) return false;
  const int sign = (*text)[0] == '-' ? -1 : 1;
  int hours, minutes;
  if (!TakeChar(text, "+-") || !TakeNumber(text, 2, 0, 23, &hours) || !TakeChar(text, ":") ||
      !TakeNumber(text, 2, 0, 59, &minutes)) {
    return false;
  }
  *seconds = sign * (hours * 3600 + minutes * 60);
  return true;
}

}  // namespace

GroupVersionKind KindOf(const Value& object) {
  const absl::string_view api_version = object.FindString("apiVersion");
  const size_t slash = api_version.find('/');
  GroupVersionKind out;
  if (slash == absl::string_view::npos) {
    out.version = std::string(api_version);
  } else {
    out.group = std::string(api_version.substr(0, slash));
    out.version = std::string(api_version.substr(slash + 1));
  }
  out.kind = std::string(object.FindString("kind"));
  return out;
}

const Value& Metadata(const Value& object) {
  const Value* metadata = object.Find("metadata");
  return metadata != nullptr && metadata->is_object() ? *metadata : EmptyObject();
}

Value& MutableMetadata(Value& object) {
  Value& metadata = object.MutableObject("metadata");
  if (!metadata.is_object()) metadata = Value::Object();
  return metadata;
}

absl::string_view Name(const Value& object) { return Metadata(object).FindString("name"); }
absl::string_view Namespace(const Value& object) {
  return Metadata(object).FindString("namespace");
}
absl::string_view Uid(const Value& object) { return Metadata(object).FindString("uid"); }
absl::string_view ResourceVersion(const Value& object) {
  return Metadata(object).FindString("resourceVersion");
}
int64_t Generation(const Value& object) {
  const Value* generation = Metadata(object).Find("generation");
  return generation == nullptr ? 0 : generation->AsInt64().value_or(0);
}
NamespacedName NameOf(const Value& object) {
  return {std::string(Namespace(object)), std::string(Name(object))};
}

std::optional<absl::string_view> Label(const Value& object, absl::string_view key) {
  return TextOf(Metadata(object).Find("labels"), key);
}
std::optional<absl::string_view> Annotation(const Value& object, absl::string_view key) {
  return TextOf(Metadata(object).Find("annotations"), key);
}
void SetLabel(Value& object, absl::string_view key, absl::string_view value) {
  MutableMetadata(object).MutableObject("labels").Set(key, Value::String(std::string(value)));
}
void SetAnnotation(Value& object, absl::string_view key, absl::string_view value) {
  MutableMetadata(object).MutableObject("annotations").Set(key, Value::String(std::string(value)));
}

std::vector<std::pair<std::string, std::string>> Labels(const Value& object) {
  std::vector<std::pair<std::string, std::string>> out;
  if (const Value* labels = Metadata(object).Find("labels")) {
    for (const json::Member& label : labels->members()) {
      if (label.value.is_string()) out.emplace_back(label.key, label.value.text());
    }
  }
  std::sort(out.begin(), out.end());
  return out;
}

bool BeingDeleted(const Value& object) {
  return !Metadata(object).FindString("deletionTimestamp").empty();
}

std::vector<std::string> Finalizers(const Value& object) {
  std::vector<std::string> out;
  if (const Value* finalizers = Metadata(object).Find("finalizers")) {
    for (const Value& finalizer : finalizers->items()) {
      if (finalizer.is_string()) out.push_back(finalizer.text());
    }
  }
  return out;
}

const Value* At(const Value& object, absl::string_view dotted_path) {
  const Value* value = &object;
  while (value != nullptr && !dotted_path.empty()) {
    const size_t dot = dotted_path.find('.');
    value = value->Find(dotted_path.substr(0, dot));
    dotted_path = dot == absl::string_view::npos ? "" : dotted_path.substr(dot + 1);
  }
  return value;
}

std::string TextAt(const Value& object, absl::string_view dotted_path) {
  const Value* value = At(object, dotted_path);
  if (value == nullptr) return "";
  if (value->is_string() || value->is_number()) return value->text();
  if (value->is_bool()) return value->bool_value() ? "true" : "false";
  return "";
}

int64_t IntAt(const Value& object, absl::string_view dotted_path, int64_t fallback) {
  const Value* value = At(object, dotted_path);
  return value == nullptr ? fallback : value->AsInt64().value_or(fallback);
}

bool BoolAt(const Value& object, absl::string_view dotted_path, bool fallback) {
  const Value* value = At(object, dotted_path);
  return value != nullptr && value->is_bool() ? value->bool_value() : fallback;
}

std::string FormatTime(int64_t unix_seconds) { return SecondsText(unix_seconds) + "Z"; }

std::string FormatMicroTime(int64_t unix_microseconds) {
  int64_t unix_seconds = unix_microseconds / 1000000;
  int64_t micros = unix_microseconds % 1000000;
  if (micros < 0) {
    micros += 1000000;
    --unix_seconds;
  }
  return absl::StrFormat("%s.%06dZ", SecondsText(unix_seconds), micros);
}

std::optional<int64_t> ParseTimeMicros(absl::string_view text) {
  int year, month, day, hour, minute, second;
  int64_t micros, offset_seconds;
  if (!TakeNumber(&text, 4, 0, 9999, &year) || !TakeChar(&text, "-") ||
      !TakeNumber(&text, 2, 1, 12, &month) || !TakeChar(&text, "-") ||
      !TakeNumber(&text, 2, 1, DaysInMonth(year, month), &day) || !TakeChar(&text, "T") ||
      !TakeNumber(&text, 2, 0, 23, &hour) || !TakeChar(&text, ":") ||
      !TakeNumber(&text, 2, 0, 59, &minute) || !TakeChar(&text, ":") ||
      !TakeNumber(&text, 2, 0, 59, &second) || !TakeFraction(&text, &micros) ||
      !TakeOffset(&text, &offset_seconds) || !text.empty()) {
    return std::nullopt;
  }
  const int64_t seconds = DaysOf(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
  return (seconds - offset_seconds) * 1000000 + micros;
}

}  // namespace meltemi::kube
