// Sets of indexes of a Job: "0,3-5".
#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "orchestrator/apiserver/kinds/job.h"

namespace meltemi::apiserver {
namespace {

struct Interval {
  int64_t first = 0, last = 0;
  std::string error;
};

std::string ParseIndex(absl::string_view text, int64_t completions, int64_t& index) {
  // Like Go's Atoi: no blanks around.
  const bool plain = !text.empty() && !absl::ascii_isspace(static_cast<unsigned char>(text[0])) &&
                     !absl::ascii_isspace(static_cast<unsigned char>(text.back()));
  if (!plain || !absl::SimpleAtoi(text, &index)) {
    return absl::StrCat("cannot convert string to integer for index: ", kube::GoQuote(text));
  }
  if (index >= completions) return absl::StrCat("too large index: ", kube::GoQuote(text));
  return "";
}

std::string NotIncreasing(int64_t previous, int64_t current) {
  return absl::StrCat("non-increasing order, previous: ", previous, ", current: ", current);
}

Interval ParseInterval(absl::string_view text, int64_t completions) {
  Interval interval;
  const std::vector<absl::string_view> limits = absl::StrSplit(text, '-');
  if (limits.size() > 2) {
    interval.error = absl::StrCat(
        "the fragment ", kube::GoQuote(text),
        " violates the requirement that an index interval can have at most two parts separated by "
        "'-'");
    return interval;
  }
  interval.error = ParseIndex(limits[0], completions, interval.first);
  interval.last = interval.first;
  if (interval.error.empty() && limits.size() == 2) {
    interval.error = ParseIndex(limits[1], completions, interval.last);
    if (interval.error.empty() && interval.first >= interval.last) {
      interval.error = NotIncreasing(interval.first, interval.last);
    }
  }
  return interval;
}

std::vector<Interval> GoodIntervals(absl::string_view text, int64_t completions) {
  std::vector<Interval> intervals;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    Interval interval = ParseInterval(part, completions);
    if (interval.error.empty()) intervals.push_back(std::move(interval));
  }
  return intervals;
}

}  // namespace

IndexCount CountIndexes(absl::string_view text, int64_t completions) {
  IndexCount total;
  if (text.empty()) return total;
  std::optional<int64_t> previous;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    Interval interval = ParseInterval(part, completions);
    if (!interval.error.empty()) return {.count = 0, .error = std::move(interval.error)};
    if (previous.has_value() && *previous >= interval.first) {
      return {.count = 0, .error = NotIncreasing(*previous, interval.first)};
    }
    total.count += interval.last - interval.first + 1;
    previous = interval.last;
  }
  return total;
}

std::string OverlapOfIndexes(absl::string_view completed, absl::string_view failed,
                             int64_t completions) {
  if (completed.empty() || failed.empty()) return "";
  const std::vector<Interval> a = GoodIntervals(completed, completions);
  const std::vector<Interval> b = GoodIntervals(failed, completions);
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i].first <= b[j].last && b[j].first <= a[i].last) {
      return absl::StrCat("failedIndexes and completedIndexes overlap at index: ",
                          std::max(a[i].first, b[j].first));
    }
    a[i].first <= b[j].first ? ++i : ++j;
  }
  return "";
}

}  // namespace meltemi::apiserver
