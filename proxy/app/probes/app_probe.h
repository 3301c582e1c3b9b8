// The checks that the proxy makes for the kubelet, as injection has written them down (Istio's
// ISTIO_KUBE_APP_PROBERS):
//
//   {"/app-health/CONTAINER/livez": {"httpGet": {"path": "/", "port": 80}, "timeoutSeconds": 1}, …}
//
// Threads: plain values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"

namespace meltemi::proxy {

struct AppProbe {
  enum class Kind : uint8_t { kHttp, kTcp, kGrpc };
  Kind kind = Kind::kHttp;
  uint16_t port = 0;
  Duration timeout = seconds(1);
  // kHttp
  bool tls = false;  // whatever certificate the application has
  std::string path = "/";
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  // kGrpc: of grpc.health.v1.HealthCheckRequest
  std::string service;
};

using AppProbes = std::map<std::string, AppProbe>;  // by path on our port

// Error: which probe, and what is wrong with it.
absl::StatusOr<AppProbes> ParseAppProbes(absl::string_view json);

}  // namespace meltemi::proxy
