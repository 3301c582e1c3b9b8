// What an error of the store is for a client of the API.
//
// Threads: functions without state.
#pragma once

#include "absl/status/status.h"
#include "kube/status/status.h"
#include "orchestrator/store/store.h"

namespace meltemi::apiserver {

// Compacted revisions: 410. What the store cannot do now (not reachable: 503; full, damaged: 500)
// with the store's own words, as Kubernetes hands on etcd's. Precondition: not OK.
kube::Status FromStoreError(const absl::Status& status);

// 504, cause ResourceVersionTooLarge.
kube::Status TooLargeResourceVersion(store::Revision wanted, store::Revision current);
// 410 of a watch; `oldest`: from where on one can watch.
kube::Status TooOldResourceVersion(store::Revision wanted, store::Revision oldest);
// 410 of a list that goes on: its first page's revision has been compacted.
kube::Status ExpiredContinue();

}  // namespace meltemi::apiserver
