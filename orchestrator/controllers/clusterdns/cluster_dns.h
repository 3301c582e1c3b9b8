// The Service kube-system/kube-dns and its EndpointSlice: every Ready node's own DNS server, each
// asked by the pods of its node (internalTrafficPolicy: Local).
//
// Threads: made and destroyed on one thread; works on the executor's.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace meltemi::controllers {

struct Context;
class Running;

struct ClusterDnsOptions {
  std::string cluster_ip = "10.96.0.10";
  uint16_t node_port = 10053;  // where nodes' DNS servers listen; the service's port is 53
};

std::unique_ptr<Running> NewClusterDnsController(Context& context,
                                                 const ClusterDnsOptions& options);

}  // namespace meltemi::controllers
