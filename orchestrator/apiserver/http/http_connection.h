// One client's connection: TLS, then HTTP/2 or HTTP/1.1 as ALPN says, and the exchanges on it.
//
//   kHandshaking --> kOpen --> kClosing --> gone
//          \____________________^
//
// Loop-owned, by a ConnectionSet.
#pragma once

#include <memory>

#include "absl/container/flat_hash_map.h"
#include "base/http/codec.h"
#include "base/http/connection_transport.h"
#include "base/tls/tls.h"
#include "orchestrator/apiserver/http/exchange.h"
#include "orchestrator/apiserver/http/server_context.h"

namespace meltemi::apiserver {

class HttpConnection;

// The connections of one loop.
class ConnectionSet {
 public:
  explicit ConnectionSet(LoopContext& context) : context_(context) {}
  ~ConnectionSet();

  void Accept(int fd, const net::Address& remote);
  void Remove(HttpConnection& connection);
  // Every connection ends once its requests in flight have been answered.
  void Drain();
  void CloseNow();
  bool empty() const { return connections_.empty(); }

 private:
  LoopContext& context_;
  absl::flat_hash_map<HttpConnection*, std::unique_ptr<HttpConnection>> connections_;
};

class HttpConnection final : public Deferrable,
                             private net::ConnectionHandler,
                             private http::ServerCodecEvents {
 public:
  HttpConnection(ConnectionSet& set, LoopContext& context, int fd, const net::Address& remote);
  ~HttpConnection() override;

  void Drain();
  void CloseNow();

 private:
  enum class State : uint8_t { kHandshaking, kOpen, kClosing, kGone };
  enum class Waiting : uint8_t { kHandshake, kHeaders, kIdle, kDrain, kNothing };

  // --- net::ConnectionHandler
  void OnConnected() override;
  void OnRead(Buffer& in, bool end_of_stream) override;
  void OnWriteBlocked(bool blocked) override;
  void OnDrained() override { OnWriteBlocked(false); }
  void OnClosed(net::CloseCause cause, absl::string_view detail) override;

  // --- http::ServerCodecEvents
  http::StreamReceiver* OnNewStream(http::Stream& stream) override;
  void OnStreamFinished(http::Stream& stream) override;

  void Feed();
  void LookAtTimeouts();
  void Wait(Waiting waiting);
  void OnTimer();
  void Close();

  ConnectionSet& set_;
  LoopContext& context_;
  const std::unique_ptr<tls::Connection> connection_;
  http::ConnectionTransport transport_;
  std::unique_ptr<http::ServerCodec> codec_;
  std::shared_ptr<PeerInfo> peer_;
  const std::unique_ptr<Timer> timer_;
  absl::flat_hash_map<http::Stream*, std::unique_ptr<Exchange>> exchanges_;
  State state_ = State::kHandshaking;
  Waiting waiting_ = Waiting::kNothing;
  bool end_of_input_ = false;
  bool draining_ = false;
  bool had_request_ = false;
};

}  // namespace meltemi::apiserver
