// Services on a node: from Service and EndpointSlice objects to rules of the kernel.
//
// model/ says what should be (pure functions of the objects: which endpoints a packet may go to,
// from inside and from outside); nftables/ and iptables/ write it, the difference only. Rules of
// others are never touched. Threads: made and destroyed on one thread; works on the executor's.
// Source: pkg/proxy (semantics of traffic policies, terminating endpoints, session affinity,
// health-check node ports); docs of kube-proxy's nftables mode.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/metrics/metrics.h"
#include "kube/events/recorder.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"

namespace meltemi::kubeproxy {

struct KubeProxyOptions {
  std::string node_name;
  std::string mode = "nftables";  // or "iptables"
  // Pods: one range of IPv4 addresses (those of IPv6 are passed over); "": nothing is known of
  // where they are.
  std::string cluster_cidr;
  std::vector<std::string> node_port_addresses;  // CIDRs, or "primary"; none: all of the node's
  bool masquerade_all = false;
  // Between two syncs at least; and how often to look whether the rules are still there.
  Duration sync_min = milliseconds(0), sync_full = seconds(30);
};

class KubeProxy {
 public:
  // The rules stay: what runs goes on.
  virtual ~KubeProxy() = default;
  // The informers that were asked for are synced.
  virtual void Start() = 0;
  // The last sync succeeded, and nothing has been waiting for the next one for two sync_full:
  // /healthz. Thread-safe.
  virtual bool healthy() const = 0;
};

// Only informers' changes are looked at, never what they keep: they may pack all of it
// (kube/informer/limits.h). Asks for all Services and EndpointSlices, and for its own Node.
// Error: the mode is unknown, an option cannot be read, or the mode's program (`nft`,
// `iptables-restore`) is not there.
absl::StatusOr<std::unique_ptr<KubeProxy>> NewKubeProxy(const KubeProxyOptions& options,
                                                        kube::Informers& informers,
                                                        kube::Executor& executor,
                                                        kube::EventRecorder& recorder,
                                                        metrics::Registry* metrics);

// Takes away everything that any mode has ever written in this network namespace, with either kind
// of iptables. What is not there, rules and programs, is no error.
absl::Status RemoveAllRules();

}  // namespace meltemi::kubeproxy
