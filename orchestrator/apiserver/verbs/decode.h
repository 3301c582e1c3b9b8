// What clients send, made into trees that fit a resource.
//
// Threads: functions without state.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/verbs/objects.h"

namespace meltemi::apiserver {

// The body of a request for `resource`: JSON, or YAML where `yaml` says so. What it does not say
// about apiVersion and kind is taken from the resource. Error: BadRequest in Kubernetes' words for
// what is malformed or of another kind or version.
// `repeated`: gets the paths of keys that occur twice.
kube::Result<json::Value> DecodeBody(const Resource& resource, const Catalog& catalog,
                                     absl::string_view body, bool yaml,
                                     std::vector<std::string>* repeated);

// A tree from JSON or YAML text. Error: BadRequest, `PREFIX: why`.
kube::Result<json::Value> ParseBody(absl::string_view body, bool yaml, absl::string_view prefix,
                                    std::vector<std::string>* repeated);

// Checks types, handles unknown fields as the context says (prunes them, warns or refuses), drops
// empty values and fills in defaults.
// Repeated keys count like unknown fields.
kube::Outcome FitToSchema(const Resource& resource, WriteContext& context, json::Value& object);
// The schema's defaults, then the kind's.
void ApplyAllDefaults(const Resource& resource, json::Value& object);

// That the name in the object is the one that was asked for.
kube::Outcome CheckObjectName(absl::string_view object_name, absl::string_view asked_name);

}  // namespace meltemi::apiserver
