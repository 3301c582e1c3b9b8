// MutatingAdmissionWebhook and ValidatingAdmissionWebhook.
//
// Threads: thread-safe; callers block until the webhooks have answered or the time is over.
#pragma once

#include <memory>
#include <set>
#include <string>

#include "base/clock/clock.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/admission/admission.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

// What the two rounds of mutation of one request know of each other.
struct ReinvocationState {
  bool is_reinvocation = false;
  bool wanted = false;                      // out: a webhook has changed something
  std::set<std::string> invoked, required;  // ids of hooks with reinvocationPolicy IfNeeded
  json::Value last_output;
};

class Webhooks {
 public:
  virtual ~Webhooks() = default;
  // One after the other, by the names of their configurations.
  virtual kube::Outcome Mutate(AdmissionRequest& request, ReinvocationState& state) = 0;
  // All at once.
  virtual kube::Outcome Validate(AdmissionRequest& request) = 0;
};

// The references outlive it.
std::unique_ptr<Webhooks> NewWebhooks(const Clock& clock, WatchCache& cache,
                                      const CatalogSource& catalogs);

// What of a webhook configuration this server can't do: conditions in CEL.
kube::Outcome CheckWebhookConfiguration(const AdmissionRequest& request);

}  // namespace meltemi::apiserver
