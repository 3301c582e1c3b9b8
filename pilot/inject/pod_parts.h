// What injection adds to a pod: the proxy's container, the one that redirects, volumes.
//
// Threads: functions without state.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "pilot/inject/annotations.h"
#include "pilot/inject/settings.h"
#include "pilot/inject/workload.h"

namespace meltemi::pilot {

// Everything that the parts depend on.
struct PodFacts {
  std::string ns;
  TextMap labels, annotations;
  WorkloadMeta workload;
  std::vector<std::string> app_containers;
  json::Value app_ports = json::Value::Array();  // of the application's containers
  ProxyConfig proxy_config;                      // of this pod
  bool native = true;                            // an init container that keeps running
  bool gateway = false;                          // no application behind it: nothing is redirected
  bool hold = false;  // beside the application, which waits for the proxy
  std::string proxy_uid = "1337", proxy_gid = "1337";
};

// The container `istio-proxy`, without what the user's own one of that name says.
json::Value ProxyContainer(const PodFacts& facts, const InjectSettings& settings);
// The init container `istio-init`.
json::Value InitContainer(const PodFacts& facts, const InjectSettings& settings);
// By name: istio-podinfo, istio-token, istiod-ca-cert.
json::Value Volumes();

// The annotations by which the CNI plugin knows what to redirect.
TextMap RedirectAnnotations(const PodFacts& facts, const InjectSettings& settings);

}  // namespace meltemi::pilot
