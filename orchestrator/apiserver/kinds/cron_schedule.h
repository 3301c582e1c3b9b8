// The timetable of a CronJob: whether it can be read.
//
// Threads: functions without state. Source: the standard parser of github.com/robfig/cron v3, whose
// words users see.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::apiserver {

// What is wrong with five fields ("*/5 8-18 * * mon-fri"), a descriptor ("@daily") or an interval
// ("@every 1h30m"), perhaps behind "TZ=ZONE "; empty when nothing is.
std::string CheckCronSchedule(absl::string_view schedule);

// What is wrong with the name of a time zone, in Go's words; empty when it is known here.
std::string CheckTimeZone(absl::string_view name);

}  // namespace meltemi::apiserver
