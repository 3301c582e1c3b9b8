// Finished pods beyond a limit, pods of nodes that are gone, terminating pods that were never
// scheduled.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/podgc.
#pragma once

#include <memory>

#include "base/clock/clock.h"

namespace meltemi::controllers {

struct Context;
class Running;

struct PodGarbageOptions {
  int terminated_pods_max = 12'500;
  Duration period = seconds(20);
};

// Deletes pods that nobody else will.
std::unique_ptr<Running> NewPodGarbageCollector(Context& context, const PodGarbageOptions& options);

}  // namespace meltemi::controllers
