// Transport sockets: Upstream- and DownstreamTlsContext to a TlsSocket, raw_buffer to none. Main
// loop.
#pragma once

#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace envoy::config::core::v3 {
class TransportSocket;
}

namespace meltemi::proxy {

class TlsSocket;
class TlsSockets;

// Null: plaintext (raw_buffer, or nothing is set). `sockets` makes the sockets and knows the
// secrets; without it TLS is refused. Error: names `where`, the field, and what is not supported or
// wrong.
absl::StatusOr<std::shared_ptr<const TlsSocket>> CompileUpstreamSocket(
    const envoy::config::core::v3::TransportSocket& socket, absl::string_view where,
    TlsSockets* sockets);
absl::StatusOr<std::shared_ptr<const TlsSocket>> CompileDownstreamSocket(
    const envoy::config::core::v3::TransportSocket& socket, absl::string_view where,
    TlsSockets* sockets);

}  // namespace meltemi::proxy
