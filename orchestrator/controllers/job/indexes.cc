#include "orchestrator/controllers/job/indexes.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace meltemi::controllers::jobs {

IndexSet IndexSet::Parse(absl::string_view text, int completions) {
  IndexSet out;
  for (absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> limits =
        absl::StrSplit(part, absl::MaxSplits('-', 1));
    Range range{0, 0};
    if (!absl::SimpleAtoi(limits.first, &range.first)) continue;
    range.last = range.first;
    if (!limits.second.empty() && !absl::SimpleAtoi(limits.second, &range.last)) continue;
    range.last = std::min(range.last, completions - 1);
    if (range.first < 0 || range.first > range.last) continue;
    IndexSet one;
    one.ranges_.push_back(range);
    if (out.ranges_.empty() || out.ranges_.back().last + 1 < range.first) {
      out.ranges_.push_back(range);
    } else {
      out.AddAll(one);
    }
  }
  return out;
}

void IndexSet::Add(int index) {
  if (ranges_.empty() || ranges_.back().last + 1 < index) {
    ranges_.push_back({index, index});
    return;
  }
  if (ranges_.back().last + 1 == index) {
    ranges_.back().last = index;
    return;
  }
  if (Contains(index)) return;
  IndexSet one;
  one.ranges_.push_back({index, index});
  AddAll(one);
}

void IndexSet::AddAll(const IndexSet& other) {
  if (other.empty()) return;
  std::vector<Range> all;
  all.reserve(ranges_.size() + other.ranges_.size());
  std::merge(ranges_.begin(), ranges_.end(), other.ranges_.begin(), other.ranges_.end(),
             std::back_inserter(all),
             [](const Range& a, const Range& b) { return a.first < b.first; });
  ranges_.clear();
  for (const Range& range : all) {
    if (ranges_.empty() || ranges_.back().last + 1 < range.first) {
      ranges_.push_back(range);
    } else {
      ranges_.back().last = std::max(ranges_.back().last, range.last);
    }
  }
}

bool IndexSet::Contains(int index) const {
  const auto range =
      std::lower_bound(ranges_.begin(), ranges_.end(), index,
                       [](const Range& candidate, int i) { return candidate.last < i; });
  return range != ranges_.end() && range->first <= index;
}

int64_t IndexSet::size() const {
  int64_t size = 0;
  for (const Range& range : ranges_) size += range.last - range.first + 1;
  return size;
}

int64_t IndexSet::CommonWith(const IndexSet& other) const {
  int64_t common = 0;
  auto mine = ranges_.begin();
  auto theirs = other.ranges_.begin();
  while (mine != ranges_.end() && theirs != other.ranges_.end()) {
    const int first = std::max(mine->first, theirs->first);
    const int last = std::min(mine->last, theirs->last);
    if (first <= last) common += last - first + 1;
    if (mine->last < theirs->last) {
      ++mine;
    } else {
      ++theirs;
    }
  }
  return common;
}

std::vector<int> IndexSet::FirstMissing(int count, int completions) const {
  std::vector<int> out;
  int candidate = 0;
  for (const Range& range : ranges_) {
    for (; candidate < range.first && candidate < completions; ++candidate) {
      if (static_cast<int>(out.size()) >= count) return out;
      out.push_back(candidate);
    }
    candidate = std::max(candidate, range.last + 1);
  }
  for (; candidate < completions && static_cast<int>(out.size()) < count; ++candidate) {
    out.push_back(candidate);
  }
  return out;
}

std::string IndexSet::ToString() const {
  std::string out;
  for (const Range& range : ranges_) {
    absl::StrAppend(&out, out.empty() ? "" : ",", range.first);
    if (range.last > range.first) {
      absl::StrAppend(&out, range.last == range.first + 1 ? "," : "-", range.last);
    }
  }
  return out;
}

int IndexOf(const kube::core::v1::Pod& pod) {
  const auto& annotations = pod.metadata().annotations();
  const auto annotation = annotations.find(kIndexAnnotation);
  int index = -1;
  if (annotation == annotations.end() || !absl::SimpleAtoi(annotation->second, &index)) return -1;
  return index >= 0 ? index : -1;
}

int FailureCountOf(const kube::core::v1::Pod& pod, const std::string& annotation) {
  const auto& annotations = pod.metadata().annotations();
  const auto found = annotations.find(annotation);
  int count = 0;
  if (found == annotations.end() || !absl::SimpleAtoi(found->second, &count)) return 0;
  return std::max(count, 0);
}

}  // namespace meltemi::controllers::jobs
