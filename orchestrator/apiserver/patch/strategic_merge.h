// Inside the strategic merge: maps (strategic_merge.cc) and lists (strategic_lists.cc) call each
// other.
//
// Threads: functions without state.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver::strategic {

inline constexpr absl::string_view kPatchDirective = "$patch";
inline constexpr absl::string_view kRetainKeys = "$retainKeys";
inline constexpr absl::string_view kDeleteFromList = "$deleteFromPrimitiveList";
inline constexpr absl::string_view kSetOrder = "$setElementOrder";

// Nullopt is success.
using Failure = std::optional<kube::Status>;

// An error that Kubernetes knows no status for: 500 with the text alone.
kube::Status PlainError(std::string message);
kube::Status NoMergeKey(const json::Value& map, absl::string_view key);
kube::Status WrongType(absl::string_view expected, const json::Value& actual);
kube::Status UnknownDirective(const json::Value& directive, const json::Value& map);

// `patch` is used up. `schema`: of the map; null where nothing is known, then maps are merged and
// lists replaced.
Failure MergeMap(const Schema* schema, json::Value patch, json::Value* original);

// By the list's strategy: merged into `original`, or in its place.
Failure MergeList(const Schema* schema, json::Value patch, json::Value* original);

// Takes the values that `remove` lists from a list of scalars.
Failure DeleteFromList(const json::Value& remove, json::Value* original);

// `patch` (null: none) merged into `original` (null: none) and sorted by `order`:
// $setElementOrder/…. `*original` is the outcome.
Failure MergeOrdered(const Schema* schema, const json::Value& order,
                     std::optional<json::Value> patch, std::optional<json::Value>* original);

// Takes out what is meant for the merge and not for the object, and null members. False when
// `value` itself is an order to delete or replace.
bool RemoveDirectives(json::Value* value, bool remove_nulls);

}  // namespace meltemi::apiserver::strategic
