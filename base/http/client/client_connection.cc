#include "base/http/client/client_connection.h"

#include <utility>

namespace meltemi::http {
namespace {

constexpr Duration kFlushTimeout = seconds(1);

}  // namespace

ClientConnection::ClientConnection(Loop& loop, const net::Address& to, Protocol protocol,
                                   ClientConnectionEvents& events, const Http1Limits& h1,
                                   const Http2Limits& h2)
    : ClientConnection(loop,
                       net::NewClientConnection(loop, to, net::Address(), net::ConnectionLimits()),
                       protocol, events, h1, h2) {}

ClientConnection::ClientConnection(Loop& loop, std::unique_ptr<net::Connection> connection,
                                   Protocol protocol, ClientConnectionEvents& events,
                                   const Http1Limits& h1, const Http2Limits& h2)
    : events_(events),
      connection_(std::move(connection)),
      transport_(loop, *connection_, [this] { OnRead(connection_->input(), end_of_input_); }) {
  connection_->SetHandler(this);
  codec_ = protocol == Protocol::kHttp2 ? NewHttp2ClientCodec(transport_, *this, h2)
                                        : NewHttp1ClientCodec(transport_, *this, h1);
}

ClientConnection::~ClientConnection() { connection_->SetHandler(nullptr); }

void ClientConnection::Abandon() {
  abandoned_ = true;
  connection_->SetHandler(nullptr);
}

void ClientConnection::OnConnected() {
  if (!abandoned_) events_.OnConnected();
}

void ClientConnection::OnRead(Buffer& in, bool end_of_stream) {
  if (abandoned_ || closing_) return;
  end_of_input_ = end_of_stream;
  const absl::Status status = codec_->Receive(in, end_of_stream);
  if (!status.ok()) error_ = std::string(status.message());
  if (end_of_stream && error_.empty()) error_ = "the peer closed the connection";
  AfterCodec();
}

void ClientConnection::AfterCodec() {
  if (closing_ || abandoned_) return;
  if (codec_->finished()) {
    closing_ = true;
    connection_->Close(kFlushTimeout);
    return;
  }
  connection_->PauseReading(!codec_->wants_input());
}

void ClientConnection::OnClosed(net::CloseCause, absl::string_view detail) {
  if (error_.empty()) error_ = std::string(detail);
  codec_->OnConnectionClosed(ResetCause::kConnectionLost, error_);
  if (!abandoned_) events_.OnDisconnected(error_);
}

}  // namespace meltemi::http
