#include "kube/cron/cron.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace meltemi::kube {
namespace {

WallTime At(absl::string_view text) {
  absl::Time time;
  std::string error;
  EXPECT_TRUE(absl::ParseTime(absl::RFC3339_sec, text, &time, &error)) << text << ": " << error;
  return WallTime(seconds(absl::ToUnixSeconds(time)));
}

std::string Text(std::optional<WallTime> time) {
  if (!time.has_value()) return "never";
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(*time), absl::UTCTimeZone());
}

std::string WhatIsWrong(absl::string_view text) {
  const absl::StatusOr<CronSchedule> parsed = CronSchedule::Parse(text);
  return parsed.ok() ? "" : std::string(parsed.status().message());
}

TEST(CronSchedule, ReadsWhatCronReads) {
  for (const char* good : {"* * * * *", "*/5 8-18 * * mon-fri", "0 0 1,15 jan ?", "@hourly",
                           "@every 1h30m", "TZ=UTC 0 3 * * *", "5/15 * * * *"}) {
    EXPECT_EQ(WhatIsWrong(good), "") << good;
  }
}

TEST(CronSchedule, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> bad[] = {
      {"", "empty spec string"},
      {"never", "expected exactly 5 fields, found 1: [never]"},
      {"60 * * * *", "end of range (60) above maximum (59): 60"},
      {"* * 0 * *", "beginning of range (0) below minimum (1): 0"},
      {"5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"},
      {"*/0 * * * *", "step of range should be a positive number: */0"},
      {"1-2-3 * * * *", "too many hyphens: 1-2-3"},
      {"1/2/3 * * * *", "too many slashes: 1/2/3"},
      {"x * * * *", R"(failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax)"},
      {"@sometimes", "unrecognized descriptor: @sometimes"},
      {"@every 5", R"(failed to parse duration @every 5: time: missing unit in duration "5")"},
      {"@every 5x",
       R"(failed to parse duration @every 5x: time: unknown unit "x" in duration "5x")"},
      {"TZ=Mars 0 0 * * *", "provided bad location Mars: unknown time zone Mars"},
      {"TZ=Mars", "provided bad location Mars: unknown time zone Mars"},
  };
  for (const auto& [schedule, expected] : bad) EXPECT_EQ(WhatIsWrong(schedule), expected);
}

TEST(CronSchedule, KnowsTheNextTime) {
  // The first is a Monday.
  const struct {
    const char *schedule, *after, *next;
  } cases[] = {
      {"* * * * *", "2024-01-01T00:00:00Z", "2024-01-01T00:01:00Z"},
      {"* * * * *", "2024-01-01T00:00:59Z", "2024-01-01T00:01:00Z"},
      {"*/15 * * * *", "2024-01-01T00:15:00Z", "2024-01-01T00:30:00Z"},
      {"5/20 * * * *", "2024-01-01T00:46:00Z", "2024-01-01T01:05:00Z"},
      {"0 3 * * *", "2024-01-01T03:00:00Z", "2024-01-02T03:00:00Z"},
      {"30 8-10 * * mon-fri", "2024-01-05T10:30:00Z", "2024-01-08T08:30:00Z"},
      {"0 0 * * 0", "2024-01-01T00:00:00Z", "2024-01-07T00:00:00Z"},
      // Both days are given: one of them is enough.
      {"0 0 13 * fri", "2024-01-01T00:00:00Z", "2024-01-05T00:00:00Z"},
      {"0 0 13 * fri", "2024-01-12T00:00:00Z", "2024-01-13T00:00:00Z"},
      // "*/2" is "*" with a step: it restricts.
      {"0 0 */2 * mon", "2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z"},
      {"0 0 31 * *", "2024-01-31T00:00:00Z", "2024-03-31T00:00:00Z"},
      {"0 0 29 2 *", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z"},
      {"59 23 31 2 *", "2024-01-01T00:00:00Z", "never"},
      {"0 0 1 1 *", "2024-12-31T23:59:59Z", "2025-01-01T00:00:00Z"},
      {"@yearly", "2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"},
      {"@weekly", "2024-01-01T00:00:00Z", "2024-01-07T00:00:00Z"},
      {"@every 90s", "2024-01-01T00:00:10Z", "2024-01-01T00:01:40Z"},
      {"@every 1ms", "2024-01-01T00:00:10Z", "2024-01-01T00:00:11Z"},
      {"TZ=Europe/Athens 0 3 * * *", "2024-01-01T00:00:00Z", "2024-01-01T01:00:00Z"},
  };
  for (const auto& c : cases) {
    const absl::StatusOr<CronSchedule> schedule = CronSchedule::Parse(c.schedule);
    ASSERT_TRUE(schedule.ok()) << c.schedule;
    EXPECT_EQ(Text(schedule->Next(At(c.after))), c.next) << c.schedule << " after " << c.after;
  }
}

// In Athens 2024-03-31 has no hour from 3 to 4, and 2024-10-27 has two of them.
TEST(CronSchedule, GoesByTheClockOfItsZone) {
  const auto all = [](absl::string_view schedule, absl::string_view after, int count) {
    std::string out;
    std::optional<WallTime> time = At(after);
    for (int i = 0; i < count && time.has_value(); ++i) {
      time = CronSchedule::Parse(schedule, "Europe/Athens")->Next(*time);
      absl::StrAppend(&out, i > 0 ? " " : "", Text(time).substr(5, 11));
    }
    return out;
  };
  EXPECT_EQ(all("30 2 * * *", "2024-03-30T12:00:00Z", 2), "03-31T00:30 03-31T23:30");
  EXPECT_EQ(all("30 3 * * *", "2024-03-30T12:00:00Z", 2), "04-01T00:30 04-02T00:30");
  EXPECT_EQ(all("30 3 * * *", "2024-10-26T12:00:00Z", 3), "10-27T00:30 10-27T01:30 10-28T01:30");
  EXPECT_EQ(all("0 * * * *", "2024-10-26T23:00:00Z", 4),
            "10-27T00:00 10-27T01:00 10-27T02:00 10-27T03:00");
}

TEST(CronSchedule, KnowsTheLastTime) {
  const struct {
    const char *schedule, *after, *until, *last;
  } cases[] = {
      {"0 * * * *", "2024-01-01T00:30:00Z", "2024-01-01T00:59:59Z", "never"},
      {"0 * * * *", "2024-01-01T00:30:00Z", "2024-01-01T01:00:00Z", "2024-01-01T01:00:00Z"},
      {"0 * * * *", "1970-01-01T00:30:00Z", "2024-01-01T01:59:00Z", "2024-01-01T01:00:00Z"},
      {"* * * * *", "1970-01-01T00:00:00Z", "2024-01-01T01:59:30Z", "2024-01-01T01:59:00Z"},
      {"0 0 1 1 *", "1990-01-01T00:00:00Z", "2024-12-01T00:00:00Z", "2024-01-01T00:00:00Z"},
      {"0 0 1 * *", "2024-01-02T00:00:00Z", "2023-01-02T00:00:00Z", "never"},
      {"59 23 31 2 *", "1970-01-01T00:00:00Z", "2024-01-01T01:59:30Z", "never"},
      {"@every 7m", "2024-01-01T00:00:05Z", "2024-01-01T00:20:00Z", "2024-01-01T00:14:05Z"},
      {"@every 7m", "2024-01-01T00:00:05Z", "2024-01-01T00:07:00Z", "never"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Text(CronSchedule::Parse(c.schedule)->Last(At(c.after), At(c.until))), c.last)
        << c.schedule << " until " << c.until;
  }
}

TEST(CheckTimeZone, KnowsZones) {
  EXPECT_EQ(CheckTimeZone("Europe/Athens"), "");
  EXPECT_EQ(CheckTimeZone("Mars/Olympus"), "unknown time zone Mars/Olympus");
}

}  // namespace
}  // namespace meltemi::kube
