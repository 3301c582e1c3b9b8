// When two JSON trees say the same.
//
// Threads: functions without state.
#pragma once

#include <cstddef>
#include <string>

#include "base/json/value.h"

namespace meltemi::apiserver {

// Members in any order; numbers by value.
bool SameJson(const json::Value& a, const json::Value& b);

// A text that is the same for two scalars exactly when SameJson is.
std::string ScalarKey(const json::Value& value);

// 1 for a scalar and for an empty container.
size_t DepthOf(const json::Value& value);

}  // namespace meltemi::apiserver
