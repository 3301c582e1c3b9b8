// Where a webhook is to be reached.
//
// Threads: a function without state; reads the watch cache.
#pragma once

#include "absl/status/statusor.h"
#include "base/random/random.h"
#include "orchestrator/apiserver/admission/webhook/hook.h"
#include "orchestrator/apiserver/https_client/https_client.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

struct WebhookTarget {
  HttpsRequest request;  // without body and time-out
  std::string url;       // for messages: "https://NAME.NS.svc:443/PATH"
};

// Of a service: the addresses of its endpoints (in random order), else its cluster IP. Error: what
// is wrong with the URL, or that there is no such service; `target->url` is set also then.
absl::Status FindTarget(const Hook& hook, WatchCache& cache, Random& random, WebhookTarget* target);

}  // namespace meltemi::apiserver
