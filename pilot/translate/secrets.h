// SDS: certificates, keys and roots out of Kubernetes Secrets, for the gateways that need them.
// Pure functions.
#pragma once

#include "absl/strings/string_view.h"
#include "pilot/snapshot/snapshot.h"
#include "pilot/translate/node.h"
#include "pilot/translate/resource.h"

namespace meltemi::pilot {

// "kubernetes://NAME" or "kubernetes://NAMESPACE/NAME"; a name with "-cacert" at its end gives the
// roots alone. Null: there is no such Secret, or the proxy may not have it. It may have roots of
// its own namespace; keys only as a gateway, and only those that a Gateway which selects it names.
// Nothing at all over a connection that has not shown who it is.
ResourcePtr BuildSecret(absl::string_view name, const ProxyNode& node, const Snapshot& snapshot);

}  // namespace meltemi::pilot
