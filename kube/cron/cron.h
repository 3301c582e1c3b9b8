// The timetable of a CronJob: five fields ("*/5 8-18 * * mon-fri"), a descriptor ("@daily") or an
// interval ("@every 1h30m"), perhaps behind "TZ=ZONE ".
//
// Threads: immutable after construction. Source: the standard parser of github.com/robfig/cron v3,
// whose words users see; crontab(5).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/clock/clock.h"

namespace meltemi::kube {

// What is wrong with the name of a time zone, in Go's words; empty when it is known here.
std::string CheckTimeZone(absl::string_view name);

class CronSchedule {
 public:
  // In the time zone of that name, which is known (CheckTimeZone), unless the text names one. Empty
  // and "Local" are UTC. Error: InvalidArgument; its message is what is wrong.
  static absl::StatusOr<CronSchedule> Parse(absl::string_view text, absl::string_view zone = "");

  // The first time after `after`, in whole seconds; nothing when there is none in the next five
  // years (the 31st of February). What falls into an hour that a clock change skips is left out, in
  // an hour that comes twice it comes twice.
  std::optional<WallTime> Next(WallTime after) const;
  // The last time after `after` and not after `until`; intervals are counted from `after`.
  std::optional<WallTime> Last(WallTime after, WallTime until) const;

 private:
  struct Field {
    uint64_t bits = 0;
    bool any = false;  // "*": does not restrict the day when the other field for days does
    bool Has(int64_t value) const { return (bits >> value & 1) != 0; }
  };
  static absl::StatusOr<CronSchedule> ParseFields(absl::string_view text, absl::TimeZone zone);
  static absl::StatusOr<CronSchedule> ParseDescriptor(absl::string_view text, absl::TimeZone zone);
  bool HasDay(absl::CivilDay day) const;

  absl::TimeZone zone_ = absl::UTCTimeZone();
  std::optional<absl::Duration> every_;  // instead of the fields
  std::array<Field, 5> fields_;          // minute, hour, day of month, month, day of week
};

}  // namespace meltemi::kube
