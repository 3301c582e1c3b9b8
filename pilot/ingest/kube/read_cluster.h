// The configuration that an API server holds, read once: for `meltemi analyze`.
//
// Threads: a function without state; it blocks.
#pragma once

#include <vector>

#include "kube/client/client.h"
#include "kube/status/status.h"
#include "pilot/ingest/diagnostic.h"
#include "pilot/ingest/kube/convert.h"
#include "pilot/ingest/object.h"

namespace meltemi::pilot {

struct ClusterObjects {
  std::vector<ObjectPtr> objects;       // without those in error; in the order of keys
  std::vector<Diagnostic> diagnostics;  // of objects, and of kinds that can't be read; not sorted
};

// Error: the server can't be reached, or does not say which kinds it has. Kinds whose definitions
// are missing have no objects; kinds that may not be read are told as warnings.
kube::Result<ClusterObjects> ReadCluster(kube::Client& client, const KubeValidator& validator);

}  // namespace meltemi::pilot
