// Scales workloads by metrics.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/podautoscaler.
#pragma once

#include <memory>

#include "base/clock/clock.h"

namespace meltemi::controllers {

struct Context;
class Running;

struct AutoscalerOptions {
  Duration sync_period = seconds(15);
  Duration downscale_stabilization = minutes(5);
  double tolerance = 0.1;
  Duration cpu_initialization_period = minutes(5);
  Duration initial_readiness_delay = seconds(30);
};

// HorizontalPodAutoscalers.
std::unique_ptr<Running> NewAutoscalerController(Context& context,
                                                 const AutoscalerOptions& options);

}  // namespace meltemi::controllers
