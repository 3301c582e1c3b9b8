// The real Envoy as a pod's sidecar, configured by our control plane.
#pragma once

#include <map>
#include <string>

namespace meltemi::machine {

struct EnvoyNode {
  std::string name, ip;
  std::map<std::string, std::string> labels;
  std::string xds_ip;
  int xds_port = 0;
  bool delta = false;  // incremental xDS
};

// An ADS bootstrap (JSON) with Istio's node id and metadata, admin on 127.0.0.1:15000.
std::string EnvoyBootstrap(const EnvoyNode& node);

}  // namespace meltemi::machine
