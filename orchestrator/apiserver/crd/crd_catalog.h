// Follows the CustomResourceDefinitions of the watch cache: serves their resources beside the
// built-in ones, writes their status, and clears away the instances of one that is deleted.
//
// Threads: thread-safe. A thread of its own reconciles (level-triggered: it may be stopped at any
// point and carries on where the objects say). The cache's thread only wakes it.
#pragma once

#include <memory>
#include <vector>

#include "base/clock/clock.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/verbs/objects.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

class CrdCatalog : public CatalogSource {
 public:
  ~CrdCatalog() override = default;  // stops the thread

  // Begins to observe the definitions and to reconcile them. `objects` (which itself uses this
  // source) outlives the catalog. Call once, when the watch cache is ready. Definitions
  // that are established already are served when this returns.
  virtual void Start(Objects& objects) = 0;
  // In place of Start, for an API server without threads: Step reconciles what has been written
  // since, until nothing is left to be done.
  virtual void StartInSteps(Objects& objects) = 0;
  virtual void Step() = 0;
  // Ends the thread; the catalog stays as it is. Idempotent.
  virtual void Stop() = 0;
};

// Without Start it serves `builtin` alone; the definitions' own resource among them gets its
// strategy and columns (definition.h) here. `cache` and `clock` outlive it.
std::unique_ptr<CrdCatalog> NewCrdCatalog(std::vector<std::shared_ptr<const Resource>> builtin,
                                          WatchCache& cache, const Clock& clock);

}  // namespace meltemi::apiserver
