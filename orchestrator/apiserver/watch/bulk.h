// An object's text without its bulk, for those who read a few fields of many objects.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::apiserver {

// `object` without metadata.managedFields, metadata.annotations and the lists directly in spec.
// What is not a JSON object in the notation of base/json (no white space) comes back as it is.
std::string WithoutBulk(absl::string_view object);

}  // namespace meltemi::apiserver
