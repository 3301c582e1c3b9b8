// The graph of owners and dependents, and the deletion of dependents.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/garbagecollector.
#pragma once

#include <memory>

namespace meltemi::controllers {

struct Context;
class Running;

// Deletes what has lost its owners.
std::unique_ptr<Running> NewGarbageCollector(Context& context);

}  // namespace meltemi::controllers
