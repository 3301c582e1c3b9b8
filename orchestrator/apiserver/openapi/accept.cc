#include "orchestrator/apiserver/openapi/accept.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace meltemi::apiserver {

absl::string_view MediaRange::Parameter(absl::string_view name) const {
  for (const auto& [key, value] : parameters) {
    if (key == name) return value;
  }
  return "";
}

bool MediaRange::Covers(absl::string_view media_type) const {
  if (type == "*/*" || type == media_type) return true;
  return absl::EndsWith(type, "/*") &&
         absl::StartsWith(media_type, absl::string_view(type).substr(0, type.size() - 1));
}

std::vector<MediaRange> ParseAccept(absl::string_view header) {
  constexpr size_t kRangesMax = 32;
  std::vector<std::pair<double, MediaRange>> weighted;
  for (const absl::string_view part : absl::StrSplit(header, ',', absl::SkipWhitespace())) {
    if (weighted.size() == kRangesMax) break;
    double weight = 1;
    MediaRange range;
    for (absl::string_view piece : absl::StrSplit(part, ';')) {
      piece = absl::StripAsciiWhitespace(piece);
      if (range.type.empty()) {
        range.type = absl::AsciiStrToLower(piece);
        continue;
      }
      const std::pair<absl::string_view, absl::string_view> pair =
          absl::StrSplit(piece, absl::MaxSplits('=', 1));
      const std::string name = absl::AsciiStrToLower(absl::StripAsciiWhitespace(pair.first));
      if (name == "q") {
        if (!absl::SimpleAtod(pair.second, &weight)) weight = 0;
      } else {
        range.parameters.emplace_back(name, absl::StripAsciiWhitespace(pair.second));
      }
    }
    if (weight > 0) weighted.emplace_back(weight, std::move(range));
  }
  std::stable_sort(weighted.begin(), weighted.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<MediaRange> ranges;
  for (auto& [weight, range] : weighted) ranges.push_back(std::move(range));
  if (absl::StripAsciiWhitespace(header).empty()) ranges.push_back({.type = "*/*"});
  return ranges;
}

}  // namespace meltemi::apiserver
