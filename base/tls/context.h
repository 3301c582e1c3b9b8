// What connections of one kind share: the library's context with its certificates, and for clients
// the sessions that can be resumed.
//
// Threads: immutable but for the sessions, which are guarded.
#pragma once

#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "base/tls/handles.h"
#include "base/tls/tls.h"

namespace meltemi::tls {

// The protocols as they stand on the wire: a byte of length before each.
absl::StatusOr<std::string> AlpnWire(const std::vector<std::string>& protocols);

// What a context is beside the library's object.
struct ContextTraits {
  bool server = false;
  bool for_proxy = false;
  std::string alpn_wire, server_name;
  std::optional<PeerRules> rules;
  bool verifies_chain = true;  // with rules: signatures count
  size_t sessions_max = 0;     // clients
};

class Context {
 public:
  Context(SslContextPtr ssl_context, ContextTraits traits);

  SSL_CTX* ssl_context() const { return ssl_context_.get(); }
  bool server() const { return traits_.server; }
  bool for_proxy() const { return traits_.for_proxy; }
  // Null: the library's own checks.
  const PeerRules* rules() const { return traits_.rules ? &*traits_.rules : nullptr; }
  bool verifies_chain() const { return traits_.verifies_chain; }
  const std::string& alpn_wire() const { return traits_.alpn_wire; }
  // Clients: the name to ask for. Where certificates are verified without rules they have to be for
  // it.
  const std::string& server_name() const { return traits_.server_name; }

  // Sessions by peer. One is handed out once: a ticket of TLS 1.3 that is used twice can be told
  // from outside to belong to the same client.
  void KeepSession(const std::string& peer, SessionPtr session) const;
  SessionPtr TakeSession(const std::string& peer) const;

 private:
  const SslContextPtr ssl_context_;
  const ContextTraits traits_;

  mutable std::mutex mutex_;
  // Newest first; short, because a client context speaks with few peers.
  mutable std::list<std::pair<std::string, SessionPtr>> sessions_ ABSL_GUARDED_BY(mutex_);
};

// A connection as the library's callbacks find it by the SSL.
class ConnectionSide {
 public:
  virtual ~ConnectionSide() = default;
  virtual void Keep(SessionPtr session) = 0;
  // Whether the peer's chain will do, by the context's rules.
  virtual bool VerifyPeer(X509_STORE_CTX* chain) = 0;
};

}  // namespace meltemi::tls
