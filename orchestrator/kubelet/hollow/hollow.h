// Hollow nodes: they register, renew their leases and run pods in memory, as kubelets do but
// without containers. For tests of scale and of failures, and for trying things out.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: Kubernetes' kubemark,
// the kubelet's pod life cycle and status.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "base/metrics/metrics.h"
#include "base/random/random.h"
#include "kube/client/client.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"

namespace meltemi::kubelet {

struct HollowOptions {
  int nodes = 1;
  std::string name_prefix = "hollow-";  // hollow-0, hollow-1, …
  int first_node = 0;  // the number of the first: several processes share a cluster
  // Of each node.
  std::string cpu = "32", memory = "256Gi", ephemeral_storage = "1Ti";
  int pods_max = 110;
  std::map<std::string, std::string> labels;  // more of them; %d in a value is the node's number
  int zones = 0;                              // topology.kubernetes.io/zone: zone-0 … in turn
  std::vector<std::string> taints;            // "key=value:NoSchedule"
  std::map<std::string, std::string> extended_resources;
  // What nodes say that they serve on, at their addresses (127.1.0.1 and on): who calls is told
  // apart by the address that is called (hollow_server.h). 0: nothing is served.
  uint16_t port = 0;

  // How pods run. A pod's own annotations win: hollow.meltemi.io/start-delay ("500ms"),
  // /ready-delay, /init-run-for (each init container's), /cpu ("100m" per container, or
  // "250m/requests" shared among the pods of the owner), /memory, /run-for ("30s": then Succeeded,
  // or Failed by /exit-code), /exit-code, /failure-rate ("0.1" of all starts end at once with code
  // 1), /stop-delay.
  Duration start_delay = milliseconds(0);
  Duration ready_delay = milliseconds(0);
  Duration stop_delay = milliseconds(0);
  double failure_rate = 0;
  // Pods of Jobs (restartPolicy Never or OnFailure) end after this long by themselves.
  Duration run_for = seconds(1);
  int64_t cpu_milli_per_pod = 1;

  int64_t memory_bytes_per_pod = 16 << 20;

  // Calls of all nodes together that are under way: for pods, and for nodes and leases.
  int pod_calls_max = 16, node_calls_max = 8;
  Duration lease_renew_interval = seconds(10);
  Duration lease_duration = seconds(40);
  Duration status_interval = minutes(5);  // node status, when nothing changes
};

class HollowNodes {
 public:
  // Nodes stay registered; their leases run out.
  virtual ~HollowNodes() = default;
  // For simulations: a node that does nothing any more (no lease, no status, no pods), or goes on.
  virtual void SetFrozen(int node, bool frozen) = 0;
  // What a pod's containers use now, as the node's statistics tell.
  virtual void SetCpuMilli(absl::string_view ns, absl::string_view pod, int64_t cpu_milli) = 0;
  virtual size_t running_pods() const = 0;
  virtual size_t registered_nodes() const = 0;

  // What a node's HTTPS port answers to a GET: /stats/summary, /metrics/resource, /pods, /healthz,
  // /containerLogs/NS/POD/CONTAINER. `node`: its address or its name. Thread-safe, never blocks.
  struct Page {
    int code = 200;
    std::string content_type, bytes;
  };
  virtual Page Get(absl::string_view node, absl::string_view path) = 0;
};

// `client`, `executor`, `random` and `metrics` outlive the nodes; `metrics` may be null. `random`
// is used under a lock of the nodes' own.
std::unique_ptr<HollowNodes> StartHollowNodes(const HollowOptions& options, kube::Client& client,
                                              kube::Executor& executor, Random& random,
                                              metrics::Registry* metrics);

}  // namespace meltemi::kubelet
