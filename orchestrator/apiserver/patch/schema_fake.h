// Schemas for tests, written as short JSON:
//
//   {"replicas": "int", "labels": {"*": "string"}, "paused": "bool", "limits": {"*": "string"},
//    "containers": {"[]": {"name": "string", …}, "keys": "name", "merge": "name"},
//    "finalizers": {"[]": "string", "set": true, "merge": ""}, "args": {"[]": "string"},
//    "selector": {"atomic": true, "matchLabels": …}, "any": "any"}
//
// Threads: one.
#pragma once

#include "absl/strings/string_view.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

// CHECKs that `text` is JSON.
const Schema& SchemaOfText(SchemaArena& arena, absl::string_view text);

// What the patch tests need of Deployments and Pods, with the keys and lists that Kubernetes has.
const Schema& DeploymentSchemaFake(SchemaArena& arena);
const Schema& PodSchemaFake(SchemaArena& arena);

}  // namespace meltemi::apiserver
