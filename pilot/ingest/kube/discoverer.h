// Looks which of Istio's kinds an API server has, and notices when their definitions (CRDs) come
// and go.
//
// Threads: made and destroyed on the loop; callbacks run on the loop. Destroying waits for a call
// that is under way.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/clock/clock.h"
#include "base/loop/loop.h"
#include "kube/client/client.h"
#include "kube/client/resource.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "pilot/ingest/object.h"

namespace meltemi::pilot {

struct DiscovererOptions {
  Duration interval_missing = seconds(30);
  Duration interval = minutes(5);
  kube::InformerOptions informer = {};
};

// By kind, how it is served; kinds that are not served are missing.
using ServedKinds = std::map<Kind, kube::ApiResource>;

class Discoverer {
 public:
  virtual ~Discoverer() = default;
  // Looks now.
  virtual void Look() = 0;
};

// `on_found` is called whenever something was found out, perhaps the same again. Of the versions
// that are served the one that was told last is kept while it is, else the newest is taken. A look
// that fails, also for some groups, takes nothing away.
std::unique_ptr<Discoverer> StartDiscoverer(Loop& loop, kube::Client& client,
                                            kube::Executor& executor,
                                            const DiscovererOptions& options,
                                            std::function<void(const ServedKinds&)> on_found);

}  // namespace meltemi::pilot
