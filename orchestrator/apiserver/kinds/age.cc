#include "orchestrator/apiserver/kinds/age.h"

#include "absl/strings/str_cat.h"

namespace meltemi::apiserver {
namespace {

constexpr int64_t kMinute = 60, kHour = 3600, kDay = 24, kYear = 365 * kDay;

// "5m" and "3s", without the second where it is 0.
std::string TwoUnits(int64_t large, const char* large_unit, int64_t small, const char* small_unit) {
  return small == 0 ? absl::StrCat(large, large_unit)
                    : absl::StrCat(large, large_unit, small, small_unit);
}

}  // namespace

std::string HumanDuration(int64_t seconds) {
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 2 * kMinute) return absl::StrCat(seconds, "s");
  const int64_t minutes = seconds / kMinute;
  if (minutes < 10) return TwoUnits(minutes, "m", seconds % kMinute, "s");
  if (minutes < 180) return absl::StrCat(minutes, "m");
  const int64_t hours = seconds / kHour;
  if (hours < 8) return TwoUnits(hours, "h", minutes % 60, "m");
  if (hours < 2 * kDay) return absl::StrCat(hours, "h");
  if (hours < 8 * kDay) return TwoUnits(hours / kDay, "d", hours % kDay, "h");
  if (hours < 2 * kYear) return absl::StrCat(hours / kDay, "d");
  if (hours < 8 * kYear) return TwoUnits(hours / kYear, "y", hours / kDay % 365, "d");
  return absl::StrCat(hours / kYear, "y");
}

}  // namespace meltemi::apiserver
