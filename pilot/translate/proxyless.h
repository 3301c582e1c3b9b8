// LDS and RDS for gRPC clients without a proxy (xds:///HOST:PORT), in Istio's shape. Pure
// functions.
#pragma once

#include "absl/strings/string_view.h"
#include "pilot/snapshot/scope.h"
#include "pilot/translate/resource.h"

namespace meltemi::pilot {

// The API listener "HOST:PORT"; HOST may be a short name of the client's namespace. Null if no such
// service port exists.
ResourcePtr BuildApiListener(absl::string_view name, const Scope& scope);
// The route configuration "outbound|PORT||HOST". Null if no such service port exists.
ResourcePtr BuildApiRoute(absl::string_view name, const Scope& scope);

}  // namespace meltemi::pilot
