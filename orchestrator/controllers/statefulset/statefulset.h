// Keeps the named, ordered pods of StatefulSets.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/statefulset.
#pragma once

#include <memory>

namespace meltemi::controllers {

struct Context;
class Running;

// StatefulSets.
std::unique_ptr<Running> NewStatefulSetController(Context& context);

}  // namespace meltemi::controllers
