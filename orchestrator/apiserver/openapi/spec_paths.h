// The paths of an OpenAPI document, as far as clients look at them: which kind is served where, and
// which parameters its operations have.
//
// Threads: functions without state.
#pragma once

#include "base/json/write.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/openapi/spec_schemas.h"

namespace meltemi::apiserver {

// Adds a member per path of the resource to the object that `out` is in.
void WritePaths(const Resource& resource, SpecVersion version, json::Writer& out);

}  // namespace meltemi::apiserver
