// Counts how many pods of a PodDisruptionBudget may be evicted.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/disruption.
#pragma once

#include <memory>

namespace meltemi::controllers {

struct Context;
class Running;

// PodDisruptionBudgets.
std::unique_ptr<Running> NewDisruptionController(Context& context);

}  // namespace meltemi::controllers
