// One pass over the content of a namespace: everything of every kind is asked to go.
//
// Threads: a function without state; it blocks. Source: the rules of Kubernetes' namespace deleter.
#pragma once

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "orchestrator/controllers/namespaces/conditions.h"

namespace meltemi::kube {
class Client;
}  // namespace meltemi::kube

namespace meltemi::controllers {

// `terminating_for`: since the namespace was deleted. What remains is normal while finalizers are
// left, or while pods may still use their grace period; else it is a failure.
ContentReport DeleteContent(kube::Client& client, absl::string_view ns, Duration terminating_for);

}  // namespace meltemi::controllers
