// Trees as YAML text, as Kubernetes' tools write it: block style, members sorted by key.
//
// Threads: a function without state.
#pragma once

#include <string>

#include "base/json/value.h"

namespace meltemi::apiserver {

std::string ToYaml(const json::Value& value);

}  // namespace meltemi::apiserver
