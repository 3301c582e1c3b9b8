// Between an object as a version of a resource shows it and as it is kept in the store.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/store/store.h"

namespace meltemi::apiserver {

// What one object may have in the store: etcd's default.
inline constexpr size_t kStoredBytesMax = 1536 * 1024;

// The stored tree in the version of `resource`.
void FromStored(const Resource& resource, json::Value& object);

// Whether the stored bytes can be answered as they are.
bool StoredAsServed(const Resource& resource);

// The text for the store: in the stored version, metadata first, without resourceVersion. Error:
// RequestEntityTooLarge.
kube::Result<std::string> ToStored(const Resource& resource, const Catalog& catalog,
                                   json::Value object);

// kind, apiVersion and metadata first: how Kubernetes writes objects. All are created if missing.
void PutHeadFirst(const Resource& resource, json::Value& object);

void SetResourceVersion(store::Revision revision, json::Value& object);

}  // namespace meltemi::apiserver
