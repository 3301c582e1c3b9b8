// The Service kube-system/kube-dns and its EndpointSlices: every node's own DNS server, each asked
// by the pods of its node (internalTrafficPolicy: Local).
//
// A node counts from the first time it is Ready until it is deleted: its server goes on answering
// its own pods while its kubelet is silent. They are made with the first such node. A Service of
// that name that somebody else has made, with another DNS behind it, is left alone.
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
