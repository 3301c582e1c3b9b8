// Rolls Deployments out: new ReplicaSets up, old ones down, within surge and unavailability.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/deployment.
#pragma once

#include <memory>

namespace meltemi::controllers {

struct Context;
class Running;

// Deployments.
std::unique_ptr<Running> NewDeploymentController(Context& context);

}  // namespace meltemi::controllers
