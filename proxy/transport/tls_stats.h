// Envoy's counters of TLS, of a listener (envoy_listener_ssl_…) or of a cluster
// (envoy_cluster_ssl_…). Made at the first handshake.
//
// Loop-owned; must not outlive its scope.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "base/metrics/metrics.h"
#include "base/tls/tls.h"

namespace meltemi::proxy {

struct TlsInfo;

class TlsStats {
 public:
  // `prefix`: "envoy_listener_"; `tag`: what tells this one from others.
  TlsStats(metrics::Scope& scope, absl::string_view prefix, metrics::Labels tag, bool server);

  void OnHandshake(const TlsInfo& info);
  void OnFailure(tls::HandshakeFailure failure);
  // There was no certificate yet to begin with.
  void OnNotReady();

 private:
  metrics::Counter& Get(absl::string_view name);

  metrics::Scope& scope_;
  const std::string prefix_;
  const metrics::Labels tag_;
  const bool server_;
  metrics::Counter& handshake_;
};

}  // namespace meltemi::proxy
