#include "orchestrator/kubelet/logs/log_line.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace meltemi::kubelet {
namespace {

constexpr size_t kSecondsSize = 19;  // 2026-01-02T03:04:05

// -1: no number.
int Digits(absl::string_view text, size_t at, size_t count) {
  int out = 0;
  for (size_t i = at; i < at + count; ++i) {
    if (i >= text.size() || !absl::ascii_isdigit(static_cast<unsigned char>(text[i]))) return -1;
    out = out * 10 + (text[i] - '0');
  }
  return out;
}

// Days since 1970 (Howard Hinnant's days_from_civil).
int64_t Days(int year, int month, int day) {
  const int64_t y = month <= 2 ? year - 1 : year;
  const int64_t era = (y >= 0 ? y : y - 399) / 400;
  const int64_t year_of_era = y - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

// Where the fraction's digits end; `kSecondsSize` when there is none.
size_t FractionEnd(absl::string_view text) {
  if (text.size() <= kSecondsSize || text[kSecondsSize] != '.') return kSecondsSize;
  size_t end = kSecondsSize + 1;
  while (end < text.size() && absl::ascii_isdigit(static_cast<unsigned char>(text[end]))) ++end;
  return end;
}

// Takes the word up to the next space, and the space.
bool TakeWord(absl::string_view* rest, absl::string_view* word) {
  const size_t space = rest->find(' ');
  if (space == absl::string_view::npos) return false;
  *word = rest->substr(0, space);
  rest->remove_prefix(space + 1);
  return true;
}

}  // namespace

std::optional<LogLine> ParseLogLine(absl::string_view raw) {
  LogLine out;
  absl::string_view stream, tags;
  if (!TakeWord(&raw, &out.time) || !TakeWord(&raw, &stream) || !TakeWord(&raw, &tags)) {
    return std::nullopt;
  }
  if (stream != "stdout" && stream != "stderr") return std::nullopt;
  if (!ParseLogTime(out.time).has_value()) return std::nullopt;
  out.is_stderr = stream == "stderr";
  // Tags that nobody knows may follow, separated by colons.
  out.partial = tags.substr(0, tags.find(':')) == "P";
  out.text = raw;
  return out;
}

std::optional<WallTime> ParseLogTime(absl::string_view text) {
  const int year = Digits(text, 0, 4), month = Digits(text, 5, 2), day = Digits(text, 8, 2);
  const int hour = Digits(text, 11, 2), minute = Digits(text, 14, 2), second = Digits(text, 17, 2);
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > 31 || hour < 0 || hour > 23 ||
      minute < 0 || minute > 59 || second < 0 || second > 60 || text[4] != '-' || text[7] != '-' ||
      text[10] != 'T' || text[13] != ':' || text[16] != ':') {
    return std::nullopt;
  }
  // What nanoseconds in 64 bits can hold.
  if (year < 1678 || year > 2261) return std::nullopt;
  const size_t end = FractionEnd(text);
  if (end == kSecondsSize + 1) return std::nullopt;
  int64_t nanos = 0;
  for (size_t i = 0; i < 9; ++i) {
    const size_t at = kSecondsSize + 1 + i;
    nanos = nanos * 10 + (at < end ? text[at] - '0' : 0);
  }
  const absl::string_view zone = text.substr(end);
  int64_t offset_s = 0;
  if (zone != "Z") {
    const int hours = Digits(zone, 1, 2), minutes_part = Digits(zone, 4, 2);
    if (zone.size() != 6 || (zone[0] != '+' && zone[0] != '-') || zone[3] != ':' || hours < 0 ||
        hours > 24 || minutes_part < 0 || minutes_part > 59) {
      return std::nullopt;
    }
    offset_s = (zone[0] == '-' ? -1 : 1) * (hours * 3600 + minutes_part * 60);
  }
  const int64_t unix_s =
      Days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second - offset_s;
  return WallTime(Duration(unix_s * 1'000'000'000 + nanos));
}

std::string FixedWidthTime(absl::string_view time) {
  if (time.size() <= kSecondsSize) return std::string(time);
  const size_t end = FractionEnd(time);
  std::string fraction =
      end > kSecondsSize ? std::string(time.substr(kSecondsSize + 1, end - kSecondsSize - 1)) : "";
  fraction.resize(9, '0');
  return absl::StrCat(time.substr(0, kSecondsSize), ".", fraction, time.substr(end));
}

}  // namespace meltemi::kubelet
