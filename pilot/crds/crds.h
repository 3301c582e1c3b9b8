// The CustomResourceDefinitions of Istio's kinds that pilot reads, generated from the messages that
// they are read into: what an API server takes is what pilot understands.
//
// Threads: functions without state.
#pragma once

#include <string>
#include <vector>

#include "base/json/value.h"

namespace meltemi::pilot {

// One CustomResourceDefinition (apiextensions.k8s.io/v1) per kind, in a fixed order. All versions
// have the same schema; the newest is the one that is stored.
std::vector<json::Value> CrdObjects();

// All of them as YAML documents, for `kubectl apply -f -`.
std::string CrdManifests();

}  // namespace meltemi::pilot
