// Istio's standard metrics (istio_requests_total, istio_request_duration_milliseconds,
// istio_request_bytes, istio_response_bytes, istio_tcp_*), and the exchange of who is at the other
// end.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/http/header_map.h"

namespace meltemi::metrics {
class Shard;
}

namespace meltemi::proxy {

struct StreamInfo;

// This workload, from the bootstrap's node.
struct Workload {
  std::string name, namespace_, app, version, canonical_service, canonical_revision, principal,
      cluster;
  std::string node_id;
};

// Loop-owned: one per worker. Label sets are resolved once and cached, bounded in number.
class MeshStats {
 public:
  virtual ~MeshStats() = default;
  // Outbound requests carry x-envoy-peer-metadata(-id) of this workload; inbound ones are read and
  // stripped; responses the other way round.
  virtual void OnRequestHeaders(http::HeaderMap& request, StreamInfo& info, bool inbound) = 0;
  virtual void OnResponseHeaders(http::HeaderMap& response, StreamInfo& info, bool inbound) = 0;
  virtual void OnStreamEnd(const http::HeaderMap* request, const StreamInfo& info,
                           bool inbound) = 0;
  virtual void OnTcpOpen(const StreamInfo& info, bool inbound) = 0;
  // Bytes since the last report.
  virtual void OnTcpBytes(const StreamInfo& info, bool inbound, uint64_t sent,
                          uint64_t received) = 0;
  virtual void OnTcpClose(const StreamInfo& info, bool inbound) = 0;
};

std::unique_ptr<MeshStats> NewMeshStats(metrics::Shard& shard,
                                        std::shared_ptr<const Workload> self);

}  // namespace meltemi::proxy
