// The one implementation of Objects (objects.h).
//
// Threads: thread-safe; blocks on the store and on admission.
#pragma once

#include <memory>

#include "base/clock/clock.h"
#include "base/random/random.h"
#include "orchestrator/apiserver/admission/admission.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/verbs/objects.h"
#include "orchestrator/apiserver/watch/cache.h"
#include "orchestrator/store/store.h"

namespace meltemi::apiserver {

struct ObjectsDeps {
  store::Store& store;
  WatchCache& cache;
  const CatalogSource& catalogs;
  Admission& admission;
  const Clock& clock;
  Random& random;  // used under a lock of the Objects' own; nobody else's
};

// What `deps` refers to outlives it.
std::unique_ptr<Objects> NewObjects(const ObjectsDeps& deps);

}  // namespace meltemi::apiserver
