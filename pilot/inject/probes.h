// Probes of application containers, which the kubelet makes from outside of the mesh and without
// its certificates: each becomes an HTTP request to the proxy, which makes the check itself from
// within the pod. Istio's form:
//
//   livenessProbe: httpGet /healthz :8080   ->   httpGet /app-health/CONTAINER/livez :15020
//   and for the proxy:  {"/app-health/CONTAINER/livez": {"httpGet": {…}, "timeoutSeconds": 1}}
//
// exec probes need no network and stay.
//
// Threads: functions without state.
#pragma once

#include <cstdint>

#include "base/json/value.h"

namespace meltemi::pilot {

// Rewrites `*pod` (metadata and spec) and returns what it has rewritten, by path; an object without
// members when there was nothing. Named ports are looked up in their container; a probe of a name
// that no port has stays as it is. What goes to `port` already is rewritten already.
json::Value RewriteProbes(uint32_t port, json::Value* pod);

}  // namespace meltemi::pilot
