// One client connection with its codec: for callers that need no pool.
//
// Loop-owned; delete it through Loop::DeferDelete. Streams may be opened at once: what they send
// waits until the connection is up, and a connection that fails resets them (kConnectionLost) with
// the system's words.
#pragma once

#include <memory>
#include <string>

#include "base/http/codec.h"
#include "base/http/connection_transport.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "base/net/connection.h"

namespace meltemi::http {

class ClientConnectionEvents {
 public:
  virtual ~ClientConnectionEvents() = default;
  virtual void OnConnected() {}
  virtual void OnPong() {}
  // The last call, after every stream has been reset; `detail` says why it ended.
  virtual void OnDisconnected(absl::string_view detail) {}
};

class ClientConnection final : public Deferrable,
                               private net::ConnectionHandler,
                               private ClientCodecEvents {
 public:
  // `protocol`: kHttp2 with prior knowledge, anything else HTTP/1.1.
  ClientConnection(Loop& loop, const net::Address& to, Protocol protocol,
                   ClientConnectionEvents& events, const Http1Limits& h1 = {},
                   const Http2Limits& h2 = {});
  // On a connection of the caller's making, which has no handler yet: TLS.
  ClientConnection(Loop& loop, std::unique_ptr<net::Connection> connection, Protocol protocol,
                   ClientConnectionEvents& events, const Http1Limits& h1 = {},
                   const Http2Limits& h2 = {});
  ~ClientConnection() override;

  // Precondition: codec().capacity() > 0; true for the first stream.
  Stream& NewStream(StreamReceiver* receiver) { return codec_->NewStream(receiver); }
  ClientCodec& codec() { return *codec_; }
  net::Connection& connection() { return *connection_; }
  // No callback follows any more.
  void Abandon();

 private:
  void OnConnected() override;
  void OnRead(Buffer& in, bool end_of_stream) override;
  void OnWriteBlocked(bool blocked) override { codec_->OnTransportBlocked(blocked); }
  void OnDrained() override { codec_->OnTransportBlocked(false); }
  void OnClosed(net::CloseCause cause, absl::string_view detail) override;
  void OnStreamFinished(Stream& stream) override {}
  void OnPeerDraining() override {}
  void OnPong() override {
    if (!abandoned_) events_.OnPong();
  }
  void AfterCodec();

  ClientConnectionEvents& events_;
  std::unique_ptr<net::Connection> connection_;
  ConnectionTransport transport_;
  std::unique_ptr<ClientCodec> codec_;
  bool end_of_input_ = false;
  bool closing_ = false;
  bool abandoned_ = false;
  std::string error_;
};

}  // namespace meltemi::http
