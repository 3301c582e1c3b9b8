// The templates that rules.h declares: rules over maps and lists of whatever container.
#pragma once

#include <map>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "pilot/ingest/names.h"
#include "pilot/validate/rules.h"

namespace meltemi::pilot {

template <typename Map>
void ValidateLabels(const Map& labels, const Path& path, Report* report) {
  const std::map<std::string, std::string> sorted(labels.begin(), labels.end());
  for (const auto& [key, value] : sorted) {
    report->Check(path.Key(key), WhyNoLabelKey(key));
    report->Check(path.Key(key), WhyNoLabelValue(value));
  }
}

template <typename List>
void ValidateExportTo(const List& words, bool none_allowed, const Path& path, Report* report) {
  std::set<std::string> seen;
  for (int i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const Path at = path[static_cast<size_t>(i)];
    const bool is_none = word == "~";
    if (is_none && !none_allowed) {
      report->Error(at, "\"~\" is only for a ServiceEntry");
    } else if (word != "*" && word != "." && !is_none) {
      report->Check(at, WhyNoDnsLabel(word));
    }
    if (!seen.insert(word == "." ? report->object().meta.ns : word).second) {
      report->Error(at, absl::StrCat("\"", word, "\" names a namespace twice"));
    }
  }
  if (seen.size() > 1 && (seen.count("*") > 0 || seen.count("~") > 0)) {
    report->Error(path, "\"*\" and \"~\" must stand alone");
  }
}

}  // namespace meltemi::pilot
