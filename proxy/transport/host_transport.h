// Which transport socket reaches which host of a cluster, and connections over it.
//
// Immutable once compiled; any thread. Connections belong to their loop.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/http/stream.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/connection.h"
#include "base/tls/tls.h"
#include "proxy/observe/tls_info.h"

namespace meltemi::proxy {

class Connector;  // proxy/upstream/pool/connector.h
class TlsSocket;
class TlsStats;
struct ClusterConfig;
struct EndpointConfig;
struct TlsState;

// One of a cluster's transport_socket_matches.
struct TransportMatch {
  std::string name;
  // All of them must stand in the endpoint's metadata; empty: fits every endpoint.
  std::vector<std::pair<std::string, std::string>> labels;
  std::shared_ptr<const TlsSocket> tls;  // null: plaintext
};

struct ClusterTransport {
  std::shared_ptr<const TlsSocket> tls;  // where no match fits; null: plaintext
  std::vector<TransportMatch> matches;   // the first that fits counts
  // SNI and the certificate's name from the request's authority, or from `auto_sni_header`.
  bool auto_sni = false, auto_san_validation = false;
  std::string auto_sni_header;  // lower case

  // All secrets of all sockets are there.
  bool ready() const;
};

// Null: plaintext.
const TlsSocket* TlsSocketFor(const ClusterConfig& cluster, const EndpointConfig& endpoint);

// ALPN by the protocol of the connection, in place of the cluster's: Istio's HTTP filter of that
// name.
struct AlpnOverride {
  std::vector<std::string> http10, http11, http2;
  bool operator==(const AlpnOverride&) const = default;
};

// What those who use a connection want of its TLS. Equal ones can share connections.
struct TransportNeeds {
  // From the request; "": as configured. The peer's certificate must be for `exact_name`.
  std::string server_name, exact_name;
  const AlpnOverride* alpn = nullptr;
  // What the connection will carry: what ALPN offers where nothing is configured. Unset: bytes.
  // kHttp2 with `by_alpn`: both, and what is agreed on decides.
  std::optional<http::Protocol> protocol;
  bool by_alpn = false;
};

// A connection to a host, with the TLS on it.
struct HostConnection {
  std::unique_ptr<net::Connection> connection;  // never null
  tls::Connection* tls = nullptr;               // the same one; null: plaintext
  std::shared_ptr<const TlsState> state;
  bool not_ready = false;  // it fails because secrets are not there

  // After OnConnected. Null: plaintext.
  std::shared_ptr<const TlsInfo> ReadInfo() const;
};

// As Connector::Connect. Where the secrets of TLS are not there the connection fails at once (from
// the loop), as Envoy's does: never in plaintext what was to be encrypted.
HostConnection ConnectHost(Loop& loop, const Connector& connector, const ClusterConfig& cluster,
                           const EndpointConfig& endpoint, const net::Address& to,
                           const net::ConnectionLimits& limits, const TransportNeeds& needs);

}  // namespace meltemi::proxy
