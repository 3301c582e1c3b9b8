// The facts of one request (or TCP connection) that logs, statistics and filters read.
//
// Loop-owned, a plain record filled by proxy/stream and proxy/connection while the exchange goes
// on; views point into the header maps and configuration that the stream holds.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/http/stream.h"
#include "base/net/address.h"

namespace meltemi::proxy {

struct ClusterConfig;
struct Host;
struct MeshPeer;  // proxy/observe/peer_metadata.h
struct Route;
struct TlsInfo;  // proxy/observe/tls_info.h

struct StreamInfo {
  // --- downstream
  net::Address downstream_remote;         // after the original-source or XFF decision
  net::Address downstream_direct_remote;  // the socket's peer
  net::Address downstream_local;          // the original destination when redirected
  std::string requested_server_name;      // SNI
  uint64_t connection_id = 0;
  std::optional<http::Protocol> protocol;   // unset for TCP
  const TlsInfo* downstream_tls = nullptr;  // null: plaintext; the connection's

  // --- times (monotonic; unset = 0 epoch) and the wall time of the start
  WallTime start_wall{};
  MonotonicTime start{};
  MonotonicTime request_complete{};  // last byte received from downstream
  MonotonicTime upstream_first_tx{}, upstream_last_tx{};
  MonotonicTime upstream_first_rx{}, upstream_last_rx{};
  MonotonicTime downstream_first_tx{}, end{};

  // --- sizes: bodies without framing
  uint64_t bytes_received = 0;
  uint64_t bytes_sent = 0;
  uint64_t request_header_bytes = 0, response_header_bytes = 0;

  // --- result
  int response_code = 0;              // 0: no response was begun
  int grpc_status = -1;               // -1: not gRPC or none seen
  uint32_t response_flags = 0;        // ResponseFlag bits
  std::string response_code_details;  // "via_upstream", "route_not_found" …
  std::string connection_termination_details;
  std::string upstream_transport_failure;
  std::string downstream_transport_failure;
  uint32_t attempts = 0;  // tries at the upstream

  // --- where it went; kept alive by the stream's references
  const Route* route = nullptr;
  absl::string_view route_name;
  const ClusterConfig* cluster = nullptr;
  const Host* upstream_host = nullptr;
  std::optional<net::Address> upstream_local;
  std::optional<http::Protocol> upstream_protocol;
  // Null: plaintext, or not connected. The connection may be gone before the log is written.
  std::shared_ptr<const TlsInfo> upstream_tls;

  // --- who is at the other end (Istio's metadata exchange); MeshStats fills and owns what it
  // points to
  const MeshPeer* peer = nullptr;  // null: unknown
  bool peer_introduced = false;    // it sent its metadata, so it wants ours
};

}  // namespace meltemi::proxy
