#include "proxy/connection/tls_handshake.h"

#include <utility>

#include "proxy/transport/tls_info.h"

namespace meltemi::proxy {

TlsHandshake::TlsHandshake(ConnectionSet& set, Loop& loop, const Options& options,
                           TlsSocket::Secured secured, Done done)
    : set_(set),
      options_(options),
      connection_(std::move(secured.connection)),
      state_(std::move(secured.state)),
      done_(std::move(done)) {
  connection_->SetHandler(this);
  if (options.timeout > Duration(0)) {
    timer_ = loop.NewTimer(
        [this] { Fail(tls::HandshakeFailure::kNone, "transport socket timeout was reached"); });
    timer_->Arm(options.timeout);
  }
}

TlsHandshake::~TlsHandshake() {
  if (connection_ != nullptr) connection_->SetHandler(nullptr);
}

void TlsHandshake::OnConnected() {
  if (!done_) return;
  if (timer_ != nullptr) timer_->Disarm();
  Result result;
  result.info = ReadTlsInfo(*connection_, state_->own);
  if (options_.client_pem) result.client_pem = connection_->PeerPem(/*chain=*/false);
  if (options_.client_chain_pem) result.client_chain_pem = connection_->PeerPem(/*chain=*/true);
  connection_->SetHandler(nullptr);
  result.connection = std::move(connection_);
  std::exchange(done_, nullptr)(std::move(result));
  set_.Remove(*this);
}

void TlsHandshake::OnClosed(net::CloseCause, absl::string_view detail) {
  Fail(connection_->handshake_failure(), detail);
}

void TlsHandshake::CloseNow() { Fail(tls::HandshakeFailure::kNone, ""); }

void TlsHandshake::Fail(tls::HandshakeFailure failure, absl::string_view detail) {
  if (!done_) return;
  if (timer_ != nullptr) timer_->Disarm();
  connection_->SetHandler(nullptr);
  Result result;
  result.failure = failure;
  result.detail = std::string(detail);
  std::exchange(done_, nullptr)(std::move(result));
  // The connection may stand below us on the stack: it goes with this, at the end of the turn.
  set_.Remove(*this);
}

}  // namespace meltemi::proxy
