// What connections of one kind share: the library's context with its certificates, and for clients
// the sessions that can be resumed.
//
// Threads: immutable but for the sessions, which are guarded.
#pragma once

#include <list>
#include <mutex>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "base/tls/handles.h"
#include "base/tls/tls.h"

namespace meltemi::tls {

class Context {
 public:
  Context(SslContextPtr ssl_context, bool server, std::string alpn_wire, std::string server_name);

  SSL_CTX* ssl_context() const { return ssl_context_.get(); }
  bool server() const { return server_; }
  // The protocols as they stand on the wire: a byte of length before each.
  const std::string& alpn_wire() const { return alpn_wire_; }
  // Clients: the name to ask for. Where certificates are verified they have to be for it.
  const std::string& server_name() const { return server_name_; }

  // Sessions by peer. One is handed out once: a ticket of TLS 1.3 that is used twice can be told
  // from outside to belong to the same client.
  void KeepSession(const std::string& peer, SessionPtr session) const;
  SessionPtr TakeSession(const std::string& peer) const;

 private:
  const SslContextPtr ssl_context_;
  const bool server_;
  const std::string alpn_wire_, server_name_;

  mutable std::mutex mutex_;
  // Newest first; short, because a client context speaks with few peers.
  mutable std::list<std::pair<std::string, SessionPtr>> sessions_ ABSL_GUARDED_BY(mutex_);
};

// Where a connection's session tickets are to be told: the library's callback finds it by the SSL.
class SessionKeeper {
 public:
  virtual ~SessionKeeper() = default;
  virtual void Keep(SessionPtr session) = 0;
};

}  // namespace meltemi::tls
