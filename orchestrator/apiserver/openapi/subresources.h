// What discovery and OpenAPI say about subresources.
//
// Threads: functions without state.
#pragma once

#include <string>
#include <vector>

#include "orchestrator/apiserver/kinds/resource.h"

namespace meltemi::apiserver {

struct SubresourceInfo {
  std::string name;            // "scale"
  std::string group, version;  // of the kind, where it is another one than the resource's
  std::string kind;
  std::vector<std::string> verbs;  // sorted
};

// Sorted by name.
std::vector<SubresourceInfo> SubresourcesOf(const Resource& resource);

}  // namespace meltemi::apiserver
