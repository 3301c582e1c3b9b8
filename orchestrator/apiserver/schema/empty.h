// Empty values of built-in kinds, as if the objects had been structs for a while.
//
// Threads: functions without state.
#pragma once

#include "base/json/value.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

// Removes members with an empty value where empty and missing are the same (Presence), so that
// defaults and validation need to look for missing members only. For what a client sent, before
// defaults.
void DropEmpty(const Schema& schema, json::Value& object);

// Writes the members that are always there: `status: {}`, `creationTimestamp: null` of a pod
// template, `resources: {}`. For what is stored and answered.
void AddEmpty(const Schema& schema, json::Value& object);

}  // namespace meltemi::apiserver
