// What every configuration object carries beside its spec. Immutable after construction.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include "absl/strings/string_view.h"

namespace meltemi::pilot {

using Labels = std::map<std::string, std::string>;

struct ObjectMeta {
  std::string kind;
  std::string name;
  std::string ns;
  Labels labels;
  Labels annotations;
  int64_t created_s = 0;  // seconds since the epoch; 0 where the manifest does not say
  // Kubernetes': grows whenever the spec is written; 0 where the source has none (files).
  int64_t generation = 0;

  std::string Id() const { return kind + "/" + ns + "/" + name; }
};

// The one order in which objects of a kind compete: older first, then by name and namespace.
inline bool CreatedBefore(const ObjectMeta& a, const ObjectMeta& b) {
  return std::tie(a.created_s, a.name, a.ns) < std::tie(b.created_s, b.name, b.ns);
}

// True if every label that `selector` asks for is in `labels`. An empty selector matches all.
inline bool LabelsMatch(const Labels& selector, const Labels& labels) {
  for (const auto& [key, value] : selector) {
    const auto it = labels.find(key);
    if (it == labels.end() || it->second != value) return false;
  }
  return true;
}

}  // namespace meltemi::pilot
