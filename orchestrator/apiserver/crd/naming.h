// Which names a CustomResourceDefinition gets, and its conditions.
//
// Threads: functions without state.
// Source: k8s.io/apiextensions-apiserver/pkg/controller/{status,establish}.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"

namespace meltemi::apiserver {

// Sets the condition; its lastTransitionTime changes only when its status does.
void SetCondition(absl::string_view type, absl::string_view status, absl::string_view reason,
                  absl::string_view message, absl::string_view now, json::Value& definition);

// Fills in status.acceptedNames and the conditions NamesAccepted and Established of `definition`.
// `others`: all definitions, of which those of the same group hold names. `now` as of
// kube::FormatTime.
void AcceptNames(const std::vector<const json::Value*>& others, absl::string_view now,
                 json::Value& definition);

}  // namespace meltemi::apiserver
