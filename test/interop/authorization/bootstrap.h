// The configuration that both proxies get: for each workload a listener for HTTP, one for HTTP over
// mutual TLS and one for bytes, each with the filters that pilot makes of the workload's policies.
#pragma once

#include <string>
#include <vector>

#include "base/tls/tls.h"
#include "test/interop/authorization/table.h"

namespace meltemi::authorization {

struct Workload {
  std::string policies;  // manifests
  WorkloadPorts ports;
};

struct BootstrapOptions {
  std::vector<Workload> workloads;
  int admin_port = 0;
  int plain_port = 0;  // answers everything: what bytes are forwarded to
  std::string log_path;
  tls::KeyPair server;
  std::string roots_pem;
};

// JSON. What is wrong with the policies, if anything, goes to `*wrong`.
std::string MakeBootstrap(const BootstrapOptions& options, std::string* wrong);

}  // namespace meltemi::authorization
