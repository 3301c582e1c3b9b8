// Keeps one pod of a DaemonSet on each node that it is meant for.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/daemon.
#pragma once

#include <memory>

namespace meltemi::controllers {

struct Context;
class Running;

// DaemonSets.
std::unique_ptr<Running> NewDaemonSetController(Context& context);

}  // namespace meltemi::controllers
