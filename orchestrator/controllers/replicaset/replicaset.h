// Keeps as many pods as a ReplicaSet or a ReplicationController asks for.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/replicaset.
#pragma once

#include <memory>

namespace meltemi::controllers {

struct Context;
class Running;

// ReplicaSets.
std::unique_ptr<Running> NewReplicaSetController(Context& context);
// ReplicationControllers, by the same code.
std::unique_ptr<Running> NewReplicationControllerController(Context& context);

}  // namespace meltemi::controllers
