// JSON values as Go prints them: Kubernetes' messages about patches contain such texts.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/status.h"

namespace meltemi::apiserver {

// %v of a decoded document: "map[a:1 b:[x y] c:<nil>]".
std::string GoValueText(const json::Value& value);
// %s of reflect.TypeOf: "map[string]interface {}", "string".
absl::string_view GoTypeName(const json::Value& value);
// As encoding/json calls it: "object", "array", "string", "number", "bool", "null".
absl::string_view GoJsonKind(const json::Value& value);
// %q.
std::string GoQuotedText(absl::string_view text);

// 422 as Kubernetes answers when a patch is well-formed and can't be applied. Its message does not
// say why, so the reason is added as a cause.
kube::Status PatchDoesNotApply(absl::string_view why);

}  // namespace meltemi::apiserver
