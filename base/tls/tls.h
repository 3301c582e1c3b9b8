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

enum class Version : uint8_t { kTls12, kTls13 };

// What TLS may look like. Empty lists: what is safe and fast.
struct Parameters {
  Version version_min = Version::kTls12, version_max = Version::kTls13;
  std::vector<std::string> ciphers;               // of TLS 1.2, by OpenSSL's names
  std::vector<std::string> curves;                // "X25519", "P-256"
  std::vector<std::string> signature_algorithms;  // "ecdsa_secp256r1_sha256"
};

// One name that a certificate is for.
struct SubjectName {
  enum class Kind : uint8_t { kDns, kUri, kEmail, kIp };
  Kind kind = Kind::kDns;
  absl::string_view text;  // addresses as text
};
// Called by any thread.
using NameFits = std::function<bool(const SubjectName&)>;

// What is asked of a peer's certificate beside that somebody who is trusted has signed it.
struct PeerRules {
  bool accept_untrusted = false;  // whoever signed it, and whatever it says
  bool allow_expired = false;
  std::optional<int> depth_max;  // certificates between the peer's and the trusted one
  // Digests (32 bytes) of the certificate's DER and of its public key: one of all must be right.
  std::vector<std::string> certificate_sha256, key_sha256;
  NameFits name_fits;  // must hold for one of the certificate's names; null: they don't matter
};

struct ServerOptions {
  KeyPair identity;
  std::vector<std::string> alpn;  // in order of preference: "h2", "http/1.1"
  PeerCertificate peer = PeerCertificate::kNone;
  std::string client_ca_pem;  // certificates that sign clients' ones
  Parameters parameters;
  // With rules an empty client_ca_pem means that signatures are not looked at.
  std::optional<PeerRules> rules;
  bool tickets = true;  // sessions can be resumed
  // Failures are told as Envoy tells them, with the library's numbers, and connections keep no copy
  // of the peer's chain (ReadPeer tells of it).
  bool for_proxy = false;
};

struct ClientOptions {
  std::optional<KeyPair> identity;
  std::vector<std::string> alpn;
  PeerCertificate peer = PeerCertificate::kRequired;
  std::string ca_pem;       // "": the system's
  std::string server_name;  // SNI, and what the certificate must be for (DNS name or address)
  Parameters parameters;
  // With rules they alone say what the certificate must be for: not the server's name. And then an
  // empty ca_pem means that signatures are not looked at, unless `system_roots`.
  std::optional<PeerRules> rules;
  bool system_roots = false;
  size_t sessions_max = 256;  // kept for resumption, all servers together; 0: none
  bool for_proxy = false;     // as ServerOptions
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
  bool peer_verified = false;  // contexts for proxies: ReadPeer's certificate can be believed
};

// Why there was no handshake.
enum class HandshakeFailure : uint8_t {
  kNone,           // or the connection was lost
  kProtocol,       // version, ciphers, garbage, an alert …
  kNoCertificate,  // the client sent none
  kUntrusted,      // signed by nobody who is trusted, expired …
  kName,           // PeerRules::name_fits
  kDigest,         // PeerRules::…_sha256
};

struct CertificateInfo;  // certificate.h

class Connection : public net::Connection {
 public:
  // Valid after OnConnected, which accepted connections get too.
  virtual const SessionInfo& session() const = 0;
  // In and after OnClosed.
  virtual HandshakeFailure handshake_failure() const = 0;
  // After OnConnected: the peer's certificate, verified or not. Error: there is none.
  virtual absl::StatusOr<CertificateInfo> ReadPeer() const = 0;
  // Likewise, as PEM: the certificate, or all that the peer sent. "" when there is none.
  virtual std::string PeerPem(bool chain) const = 0;
};

// As net::NewServerConnection. Handshake failures are OnClosed with the library's words in
// `detail`; the time-out of the handshake is the caller's.
std::unique_ptr<Connection> NewServerConnection(Loop& loop, int fd, const net::Address& remote,
                                                const net::ConnectionLimits& limits,
                                                std::shared_ptr<const Context> context);
// Over a connection that was accepted already. What lies in its input is the beginning of the
// handshake (somebody may have looked at it); `end_of_stream`: and all that will ever come.
std::unique_ptr<Connection> NewServerConnection(Loop& loop, std::unique_ptr<net::Connection> socket,
                                                const net::ConnectionLimits& limits,
                                                std::shared_ptr<const Context> context,
                                                bool end_of_stream = false);
// `server_name`: instead of the context's.
std::unique_ptr<Connection> NewClientConnection(Loop& loop, const net::Address& to,
                                                const net::Address& source,
                                                const net::ConnectionLimits& limits,
                                                std::shared_ptr<const Context> context,
                                                absl::string_view server_name = "");

// What one connection has instead of its context's. Empty: the context's.
struct ClientChoice {
  std::string server_name;
  std::vector<std::string> alpn;
  NameFits name_fits;     // only of contexts with rules
  std::string name_rule;  // says what `name_fits` wants: a session is resumed only under its rule
};
// Over a connection that is, or is about to be, connected.
std::unique_ptr<Connection> NewClientConnection(Loop& loop, std::unique_ptr<net::Connection> socket,
                                                const net::ConnectionLimits& limits,
                                                std::shared_ptr<const Context> context,
                                                ClientChoice choice);

}  // namespace meltemi::tls
