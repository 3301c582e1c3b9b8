// The kubelet's HTTPS port: logs, exec, attach, port-forward, statistics, pods, health.
//
// Streams are those of the runtime's own streaming server: SPDY/3.1 and WebSocket v4 are passed
// through; WebSocket v5 (with the close of single streams) and port-forward over WebSocket are
// translated to SPDY/3.1. Threads: made and destroyed on one thread. Source: pkg/kubelet/server;
// k8s.io/apimachinery/pkg/util/{httpstream,remotecommand,portforward}; the SPDY/3.1 draft.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/metrics/metrics.h"
#include "base/net/address.h"
#include "base/tls/tls.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/pods/pods.h"
#include "orchestrator/kubelet/stats/stats.h"

namespace meltemi::kubelet {

struct KubeletServerOptions {
  net::Address address;  // 0.0.0.0:10250
  tls::KeyPair identity;
  std::string client_ca_pem;
  std::string node_name;
  // Who asks, and whether they may do `verb` with nodes/SUBRESOURCE ("proxy", "log", "stats",
  // "metrics", …) of this node.
  std::function<kube::Outcome(const apiserver::Request& request, absl::string_view verb,
                              absl::string_view subresource)>
      authorize;
};

class KubeletServer {
 public:
  virtual ~KubeletServer() = default;
  virtual uint16_t port() const = 0;
};

absl::StatusOr<std::unique_ptr<KubeletServer>> StartKubeletServer(
    const KubeletServerOptions& options, const Clock& clock, const Pods& pods, Runtime& runtime,
    Stats& stats, metrics::Registry& metrics);

}  // namespace meltemi::kubelet
