// The schema of a CustomResourceDefinition's version: checked, and made into a Schema.
//
// Threads: functions without state. Source: k8s.io/apiextensions-apiserver/pkg/apiserver/schema,
// .../apis/apiextensions/validation.
#pragma once

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/json/value.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

struct OpenApiCheck {
  // The version has a status subresource, which restricts the keywords at the root.
  bool status_subresource = false;
};

// What is wrong with an openAPIV3Schema: not structural, forbidden keywords, values that make no
// sense, defaults that do not fit. `path` is that of the schema
// ("spec.versions[0].schema.openAPIV3Schema").
kube::FieldErrors CheckOpenApi(const json::Value& open_api_v3_schema, const OpenApiCheck& check,
                               const kube::FieldPath& path);

// Whether `predicate` holds for the schema or one within it.
bool AnySchema(const json::Value& open_api_v3_schema,
               absl::FunctionRef<bool(const json::Value& schema)> predicate);

// Whether rules in x-kubernetes-validations occur somewhere in it.
bool HasValidationRules(const json::Value& open_api_v3_schema);

// The Schema of objects of a custom kind: apiVersion, kind and metadata are added. Whatever the
// input, the result is a schema; what CheckOpenApi would refuse is left out.
const Schema* CompileOpenApi(const json::Value& open_api_v3_schema, SchemaArena& arena);

// The same for a part of one, with nothing added.
const Schema* CompileOpenApiPart(const json::Value& schema, SchemaArena& arena);

}  // namespace meltemi::apiserver
