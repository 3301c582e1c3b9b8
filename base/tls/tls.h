// TLS 1.2 and 1.3 as a net::Connection: plaintext for its handler, records on the socket.
//
// Written to the API that OpenSSL 3 and BoringSSL share, and built twice: //base/tls:openssl for
// what links gRPC, //base/tls:boringssl for the proxy. A binary picks one; the two never meet.
// Contexts are immutable and shared between loops; connections are loop-owned like any other.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/connection.h"

namespace meltemi::tls {

struct KeyPair {
  std::string certificate_chain_pem;  // leaf first
  std::string private_key_pem;
};

enum class PeerCertificate : uint8_t {
  kNone,      // not asked for (servers); not verified (clients)
  kOptional,  // verified when the client sends one
  kRequired,
};

struct ServerOptions {
  KeyPair identity;
  std::vector<std::string> alpn;  // in order of preference: "h2", "http/1.1"
  PeerCertificate peer = PeerCertificate::kNone;
  std::string client_ca_pem;  // certificates that sign clients' ones
};

struct ClientOptions {
  std::optional<KeyPair> identity;
  std::vector<std::string> alpn;
  PeerCertificate peer = PeerCertificate::kRequired;
  std::string ca_pem;       // "": the system's
  std::string server_name;  // SNI, and what the certificate must be for (DNS name or address)
};

class Context;  // shared state: certificates, session cache

// Error: what is wrong with which PEM.
absl::StatusOr<std::shared_ptr<const Context>> NewServerContext(const ServerOptions& options);
absl::StatusOr<std::shared_ptr<const Context>> NewClientContext(const ClientOptions& options);

// What the handshake agreed on.
struct SessionInfo {
  std::string alpn, server_name, version, cipher;
  std::vector<std::string> peer_chain_der;  // leaf first, verified; empty when there is none
  bool resumed = false;
};

class Connection : public net::Connection {
 public:
  // Valid after OnConnected, which accepted connections get too.
  virtual const SessionInfo& session() const = 0;
};

// As net::NewServerConnection. Handshake failures are OnClosed with the library's words in
// `detail`; the time-out of the handshake is the caller's.
std::unique_ptr<Connection> NewServerConnection(Loop& loop, int fd, const net::Address& remote,
                                                const net::ConnectionLimits& limits,
                                                std::shared_ptr<const Context> context);
// `server_name`: instead of the context's.
std::unique_ptr<Connection> NewClientConnection(Loop& loop, const net::Address& to,
                                                const net::Address& source,
                                                const net::ConnectionLimits& limits,
                                                std::shared_ptr<const Context> context,
                                                absl::string_view server_name = "");

}  // namespace meltemi::tls
