// The objects of its namespace that a pod refers to.
//
// Threads: a function without state.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/json/value.h"

namespace meltemi::apiserver {

// Resource ("secrets" "configmaps" "persistentvolumeclaims" "serviceaccounts") and name.
using PodMention = std::pair<std::string, std::string>;

// Sorted, each once.
std::vector<PodMention> PodMentions(const json::Value& pod);

}  // namespace meltemi::apiserver
