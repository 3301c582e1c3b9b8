// One HTTP connection from downstream: the transport, its codec, and the streams on it.
//
//   kSniffing --> kOpen --> kClosing --> gone
//        \___________________^
//
// kSniffing: the first bytes decide between HTTP/1 and HTTP/2 (codec "auto"). kClosing: what was
// written is flushed, nothing is read any more.
//
// Loop-owned, by a ConnectionSet.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/string_view.h"
#include "base/http/codec.h"
#include "base/loop/loop.h"
#include "base/net/connection.h"
#include "proxy/connection/downstream_connection.h"
#include "proxy/stream/http_runtime.h"

namespace meltemi::proxy {

class Stream;

class HttpConnection final : public DownstreamConnection, private net::ConnectionHandler {
 public:
  // `on_end` runs once, when the connection is gone (statistics of the listener).
  HttpConnection(ConnectionSet& set, std::shared_ptr<HttpRuntime> runtime,
                 std::unique_ptr<net::Connection> connection, DownstreamPeer peer,
                 absl::AnyInvocable<void()> on_end);
  ~HttpConnection() override;

  void Start(bool end_of_stream) override;
  void Drain() override;
  void CloseNow() override;

 private:
  enum class State : uint8_t { kSniffing, kOpen, kClosing, kGone };

  // What the codec sees of the connection.
  struct CodecSide final : public http::CodecTransport, public http::ServerCodecEvents {
    explicit CodecSide(HttpConnection& owner) : owner(owner) {}
    Buffer& output() override { return owner.connection_->output(); }
    void OutputReady() override { owner.connection_->FlushSoon(); }
    void ReceiveAgain() override { owner.loop().AtTurnEnd(&owner.again_); }
    void CloseWrite() override { owner.connection_->CloseWrite(); }
    http::StreamReceiver* OnNewStream(http::Stream& stream) override {
      return owner.NewStream(stream);
    }
    void OnStreamFinished(http::Stream& stream) override { owner.FinishStream(stream); }
    HttpConnection& owner;
  };
  struct Again final : public TurnEndTask {
    explicit Again(HttpConnection& owner) : owner(owner) {}
    void RunAtTurnEnd() override { owner.Feed(); }
    HttpConnection& owner;
  };

  // --- net::ConnectionHandler
  void OnRead(Buffer& in, bool end_of_stream) override;
  void OnWriteBlocked(bool blocked) override;
  void OnDrained() override { OnWriteBlocked(false); }
  void OnClosed(net::CloseCause cause, absl::string_view detail) override;

  bool ChooseCodec(Buffer& in);
  void MakeCodec(http::Protocol protocol);
  // Gives the codec what has been read, and looks at what it says then.
  void Feed();
  void AfterFeed();
  void SteerReading();
  http::StreamReceiver* NewStream(http::Stream& stream);
  void FinishStream(http::Stream& stream);
  Stream* TakeStream(http::Stream& stream);
  void EndAllStreams();
  void BecomeIdle();
  void OnIdleTimeout();
  void OnMaxDuration();
  void OnDrainTimeout();
  void OnHeadersTimeout();
  void WatchHeaders();
  void Close();
  void Gone(bool by_remote);
  void CountBytes();
  void ArmTimer(std::unique_ptr<Timer>& timer, Duration after, void (HttpConnection::*on_fire)());

  Loop& loop() { return runtime_->worker.loop; }

  ConnectionSet& set_;
  const std::shared_ptr<HttpRuntime> runtime_;
  DownstreamPeer peer_;  // constant once constructed
  const std::unique_ptr<net::Connection> connection_;
  absl::AnyInvocable<void()> on_end_;
  CodecSide codec_side_{*this};
  Again again_{*this};

  State state_ = State::kSniffing;
  std::unique_ptr<http::ServerCodec> codec_;
  http::Protocol protocol_ = http::Protocol::kHttp11;
  const MonotonicTime opened_;
  bool end_of_stream_ = false;
  bool draining_ = false;
  bool drain_told_ = false;  // the codec has been told
  bool feeding_ = false;
  uint64_t requests_ = 0;
  uint64_t bytes_read_counted_ = 0, bytes_written_counted_ = 0;

  struct OpenStream {
    http::Stream* codec_stream;
    Stream* stream;
  };
  std::vector<OpenStream> streams_;

  std::unique_ptr<Timer> idle_timer_, max_timer_, drain_timer_, headers_timer_;
};

}  // namespace meltemi::proxy
