#include "orchestrator/kubelet/images/go_duration_text.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace meltemi::kubelet {

std::string GoDurationText(Duration d) {
  const int64_t ms = std::max<int64_t>(0, ToMillis(d));
  if (ms == 0) return "0s";
  if (ms < 1000) return absl::StrCat(ms, "ms");
  const int64_t whole = ms / 1000;
  std::string seconds_text = absl::StrCat(whole % 60);
  if (ms % 1000 != 0) {
    absl::StrAppend(&seconds_text, absl::StrFormat(".%03d", ms % 1000));
    while (seconds_text.back() == '0') seconds_text.pop_back();
  }
  std::string out;
  if (whole >= 3600) absl::StrAppend(&out, whole / 3600, "h");
  if (whole >= 60) absl::StrAppend(&out, whole / 60 % 60, "m");
  return absl::StrCat(out, seconds_text, "s");
}

}  // namespace meltemi::kubelet
