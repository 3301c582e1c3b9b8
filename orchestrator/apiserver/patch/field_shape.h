// How a part of an object is taken by server-side apply.
//
// Threads: functions without state.
#pragma once

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

enum class Shape : uint8_t {
  kLeaf,  // a scalar, or atomic: as one
  kMap,   // each member for itself
  kList,  // each entry for itself: a set or a map
};

// `schema` null: by the value.
Shape ShapeOf(const Schema* schema, const json::Value& value);

// The schema of a member, null when nothing is known about it. `named`: it is a field of the
// schema, no key of a map.
const Schema* MemberSchema(const Schema* schema, absl::string_view name, bool* named);

inline const Schema* EntrySchema(const Schema* schema) {
  return schema == nullptr ? nullptr : schema->items;
}

}  // namespace meltemi::apiserver
