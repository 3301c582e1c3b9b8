// JSON patches (RFC 6902): made of two documents, and applied.
//
// Threads: functions without state.
#pragma once

#include "absl/status/status.h"
#include "base/json/value.h"

namespace meltemi::pilot {

// The operations (add, remove, replace) that make `to` of `from`, as an array; empty when they are
// equal. The order of members does not count.
json::Value MakeJsonPatch(const json::Value& from, const json::Value& to);

// add, remove, replace and test. On error `*document` is left half changed.
absl::Status ApplyJsonPatch(const json::Value& patch, json::Value* document);

}  // namespace meltemi::pilot
