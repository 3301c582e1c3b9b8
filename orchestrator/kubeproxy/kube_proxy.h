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
  std::string mode = "nftables";                 // or "iptables"
  std::string cluster_cidr;                      // pods; "": nothing is known of where they are
  std::vector<std::string> node_port_addresses;  // CIDRs, or "primary"; none: all of the node's
  bool masquerade_all = false;
  Duration sync_min = milliseconds(0), sync_full = seconds(30);  // between syncs; everything anew
};

class KubeProxy {
 public:
  // The rules stay: what runs goes on.
  virtual ~KubeProxy() = default;
  // The informers that were asked for are synced.
  virtual void Start() = 0;
  // The last sync succeeded and is not overdue: /healthz.
  virtual bool healthy() const = 0;
};

// Error: the mode is unknown, or its program (`nft`, `iptables-restore`) is not there.
absl::StatusOr<std::unique_ptr<KubeProxy>> NewKubeProxy(const KubeProxyOptions& options,
                                                        kube::Informers& informers,
                                                        kube::Executor& executor,
                                                        kube::EventRecorder& recorder,
                                                        metrics::Registry* metrics);

// Takes away everything that any mode has ever written in this network namespace.
absl::Status RemoveAllRules();

}  // namespace meltemi::kubeproxy
