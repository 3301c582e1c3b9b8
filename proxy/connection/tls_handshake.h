// An accepted connection whose TLS handshake is under way.
//
// Loop-owned, by a ConnectionSet, until the handshake is done or has failed.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "base/loop/loop.h"
#include "base/net/connection.h"
#include "base/tls/tls.h"
#include "proxy/connection/downstream_connection.h"
#include "proxy/observe/tls_info.h"
#include "proxy/transport/tls_socket.h"

namespace meltemi::proxy {

class TlsHandshake final : public DownstreamConnection, private net::ConnectionHandler {
 public:
  struct Result {
    std::unique_ptr<net::Connection> connection;  // null: it failed, or was given up
    std::shared_ptr<const TlsInfo> info;
    std::string client_pem, client_chain_pem;  // where they were asked for
    tls::HandshakeFailure failure = tls::HandshakeFailure::kNone;
    std::string detail;  // why it failed; "" when the client just left
  };
  using Done = absl::AnyInvocable<void(Result)>;
  struct Options {
    Duration timeout{0};
    bool client_pem = false, client_chain_pem = false;
  };

  // `done` is called once, from the loop; it must take the connection up at once. Not called when
  // this is destroyed before.
  TlsHandshake(ConnectionSet& set, Loop& loop, const Options& options, TlsSocket::Secured secured,
               Done done);
  ~TlsHandshake() override;

  void Start(bool) override {}
  void Drain() override {}
  void CloseNow() override;

 private:
  void OnConnected() override;
  void OnRead(Buffer&, bool) override {}
  void OnClosed(net::CloseCause cause, absl::string_view detail) override;
  void Fail(tls::HandshakeFailure failure, absl::string_view detail);

  ConnectionSet& set_;
  const Options options_;
  std::unique_ptr<tls::Connection> connection_;
  const std::shared_ptr<const TlsState> state_;
  Done done_;
  std::unique_ptr<Timer> timer_;
};

}  // namespace meltemi::proxy
