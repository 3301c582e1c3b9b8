// Whether a webhook is to be called for a request, and about which version of the resource.
//
// Threads: a function without state; may look a namespace up in the watch cache.
#pragma once

#include <optional>

#include "kube/status/status.h"
#include "orchestrator/apiserver/admission/admission.h"
#include "orchestrator/apiserver/admission/webhook/hook.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

// `hook` wants to hear of the request as one for `resource`, which may be another version.
struct Invocation {
  HookPtr hook;
  const Resource* resource = nullptr;
};

kube::Result<std::optional<Invocation>> Match(const HookPtr& hook, const AdmissionRequest& request,
                                              const Catalog& catalog, WatchCache& cache);

}  // namespace meltemi::apiserver
