// All admission plugins in kube-apiserver's order.
//
// Threads: thread-safe; webhooks are called on a loop thread of the chain's own.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "orchestrator/apiserver/admission/admission.h"
#include "orchestrator/apiserver/authz/rbac.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

struct AdmissionOptions {
  // --enable-admission-plugins / --disable-admission-plugins, added to and taken from the default.
  std::vector<std::string> enabled, disabled;
  // Seconds that pods stay on a node that is not ready or unreachable.
  int64_t default_not_ready_toleration_seconds = 300;
  int64_t default_unreachable_toleration_seconds = 300;
};

struct AdmissionDeps {
  const Clock& clock;
  WatchCache& cache;
  const CatalogSource& catalogs;
  Authorizer& authorizer;      // the chain: "escalate", "bind"
  const RbacAuthorizer& rbac;  // whose rules may be granted
};

// What `deps` refers to outlives it. Error: an unknown plugin, named with all that there are.
absl::StatusOr<std::unique_ptr<Admission>> NewAdmission(const AdmissionOptions& options,
                                                        const AdmissionDeps& deps);

// The names of all plugins, in order.
std::vector<std::string> AdmissionPluginNames();

}  // namespace meltemi::apiserver
