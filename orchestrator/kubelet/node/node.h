// The node's own object: registered, its addresses, capacity, conditions and images kept up to
// date, its lease renewed.
//
// Threads: made and destroyed on one thread; works on the executor's. Source:
// pkg/kubelet/kubelet_node_status.go, pkg/kubelet/nodestatus (setters, reasons, messages).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/client/client.h"
#include "kube/events/recorder.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "orchestrator/kubelet/cri/runtime.h"

namespace meltemi::kubelet {

struct NodeOptions {
  std::string name;
  std::string ip;    // "": of the interface of the default route
  std::string root;  // the file system that pods are kept on
  uint16_t port = 10250;
  int pods_max = 110;
  std::map<std::string, std::string> labels;  // beside the well-known ones
  std::vector<std::string> taints;            // "key=value:Effect", at registration
  std::map<std::string, std::string> system_reserved, kube_reserved;  // "cpu" → "100m"
  std::string version = "v1.32.0+meltemi";                            // kubeletVersion
  Duration lease_renew_interval = seconds(10), lease_duration = seconds(40);
  Duration status_interval = seconds(10), status_report_interval = minutes(5);

  // Below these the node is under pressure; they are not allocatable. Of a file system whichever is
  // less: a large disk that is nearly full still has room for pods.
  int64_t memory_available_min_bytes = int64_t{100} << 20;
  int64_t disk_available_min_bytes = int64_t{1} << 30;
  int disk_available_min_percent = 5;
  Duration pressure_transition_period = minutes(5);  // how long it has to be over

  std::string machine_root;  // before /proc, /sys and /etc: for tests
};

class NodeKeeper {
 public:
  virtual ~NodeKeeper() = default;
  // Registers and goes on; retries until it is there.
  virtual void Start() = 0;
  // The node's pod CIDRs ("10.244.1.0/24", of two families separated by a comma) as soon as they
  // are known, and whenever they change; one call at a time, on the executor. Before Start.
  virtual void OnPodCidr(std::function<void(const std::string& cidr)> told) = 0;
  // The last status that was written said Ready.
  virtual bool ready() const = 0;
};

// `healthy`: "" or why not ("PLEG is not healthy: …", "container runtime is down"), beside what the
// runtime says of itself (RuntimeReady, NetworkReady); it must not block. Adds to the informer of
// the node itself (NodeSelector), so it is made before the informers start. All outlive it.
std::unique_ptr<NodeKeeper> NewNodeKeeper(const NodeOptions& options, kube::Client& client,
                                          kube::Informers& informers, kube::Executor& executor,
                                          kube::EventRecorder& recorder, Runtime& runtime,
                                          std::function<std::string()> healthy);

// The field selector of the informer that has this node alone: whoever else needs it shares it.
std::string NodeSelector(const std::string& node_name);

// The address that the default route's interface has in this network namespace; "": none.
std::string DefaultNodeIp();

}  // namespace meltemi::kubelet
