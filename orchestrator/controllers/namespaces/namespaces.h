// Deletes the content of namespaces that are being deleted.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/namespace.
#pragma once

#include <memory>

namespace meltemi::controllers {

struct Context;
class Running;

// Namespaces.
std::unique_ptr<Running> NewNamespaceController(Context& context);

}  // namespace meltemi::controllers
