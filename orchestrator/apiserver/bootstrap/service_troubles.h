// Tells of services that share an address or port, or hold one out of range, by events: what
// Kubernetes' repair loops do. There is nothing to repair: who has what is read off the services.
//
// Threads: blocks; call it off the loops.
#pragma once

#include "absl/status/status.h"
#include "base/clock/clock.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/kinds/service_allocation.h"
#include "orchestrator/apiserver/verbs/objects.h"

namespace meltemi::apiserver {

// One event for each trouble, until that is forgotten; at most a hundred at a time.
absl::Status TellServiceTroubles(ServiceAllocation& allocation, const CatalogSource& catalogs,
                                 Objects& objects, const Clock& clock);

}  // namespace meltemi::apiserver
