// Objects and their fields, by the schema: which fields an object has, in which two objects differ,
// how an applied configuration is merged into an object, and what is left without certain fields.
//
// Parts without a schema are granular maps and atomic lists. A null schema stands for such a part.
//
// Threads: functions without state. Source: sigs.k8s.io/structured-merge-diff/typed.
#pragma once

#include <string>

#include "base/json/value.h"
#include "orchestrator/apiserver/patch/field_set.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

// Leaves, entries of lists, and members of maps that have no fixed fields.
FieldSet FieldsOf(const Schema& schema, const json::Value& object);

struct Comparison {
  FieldSet removed, modified, added;

  bool same() const { return removed.empty() && modified.empty() && added.empty(); }
};

// Members that are always there (Presence::kAlways) count as there where they are not written.
Comparison CompareObjects(const Schema& schema, const json::Value& before,
                          const json::Value& after);

// `live` with everything that `applied` says.
json::Value MergeApplied(const Schema& schema, const json::Value& live, const json::Value& applied);

// What becomes of containers that are empty without them.
enum class Emptied : uint8_t { kGone, kNull };

json::Value WithoutFields(const Schema& schema, const json::Value& object, const FieldSet& fields,
                          Emptied emptied);

// With the named fields above the members: ".spec" for ".spec.replicas", but no keys of maps.
FieldSet WithNamedParents(const Schema& schema, const FieldSet& fields);

// What was recorded of the inside of a part that has become atomic counts as the part itself. True
// when there was such a thing.
bool Reconcile(const Schema& schema, FieldSet& fields);

// What keeps `applied` from being merged, in Kubernetes' words; "" when nothing does.
std::string CheckApplied(const Schema& schema, const json::Value& applied);

}  // namespace meltemi::apiserver
