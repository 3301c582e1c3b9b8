// Making CachedObjects (cache.h) of what the store holds.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "orchestrator/apiserver/watch/cache.h"
#include "orchestrator/store/store.h"

namespace meltemi::apiserver {

// `value` with "resourceVersion" as the first member of its metadata, in place of the one that may
// stand there.
std::string WithResourceVersion(absl::string_view value, store::Revision revision);

// `fields_of` may be null: then only metadata.name and metadata.namespace are selectable. A value
// that is no JSON object (nobody but us writes there) has neither labels nor fields.
ObjectPtr MakeCachedObject(absl::string_view ns, absl::string_view name, absl::string_view value,
                           store::Revision revision, const FieldsOf& fields_of);

// The same object with another resourceVersion: what deletions show.
ObjectPtr AtRevision(const CachedObject& object, store::Revision revision);

// The value of a selectable field; "" when there is none.
absl::string_view FieldOf(const CachedObject& object, absl::string_view field);

// What the object takes of memory, about.
size_t BytesOf(const CachedObject& object);

}  // namespace meltemi::apiserver
