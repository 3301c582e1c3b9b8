// ClusterRoles with an aggregationRule get the rules of the ClusterRoles that it selects.
//
// Threads: a thread of its own, from Start until destruction.
#pragma once

#include <memory>

#include "base/clock/clock.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/verbs/objects.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

class ClusterRoleAggregator {
 public:
  // Destroying stops the thread.
  virtual ~ClusterRoleAggregator() = default;
  // True when every aggregated role that the cache knows has the rules that it should have.
  virtual bool Settled() = 0;
};

// Starts at once. The references outlive it; the cache's observer may come later than its end.
std::unique_ptr<ClusterRoleAggregator> StartClusterRoleAggregator(const CatalogSource& catalogs,
                                                                  WatchCache& cache,
                                                                  Objects& objects,
                                                                  const Clock& clock);

}  // namespace meltemi::apiserver
