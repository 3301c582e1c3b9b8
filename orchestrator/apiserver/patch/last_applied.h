// The annotation kubectl.kubernetes.io/last-applied-configuration, by which kubectl applies from
// the client's side, and its peace with server-side apply.
//
// Threads: functions without state. Source: k8s.io/apimachinery/pkg/util/managedfields/internal.
#pragma once

#include <string>

#include "base/json/value.h"
#include "orchestrator/apiserver/patch/field_set.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

// What was applied from the client's side and is still as it was applied: kubectl may take it over
// from its former self. Empty when there is no such annotation.
FieldSet LastAppliedFields(const Schema& schema, const json::Value& live,
                           const std::string& api_version);

// When `object` has the annotation: makes it say `applied`.
void UpdateLastApplied(const json::Value& applied, json::Value* object);

}  // namespace meltemi::apiserver
