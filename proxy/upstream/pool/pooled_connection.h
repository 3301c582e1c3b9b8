// One connection of a pool with its codec.
#pragma once

#include <cstdint>
#include <memory>

#include "absl/strings/string_view.h"
#include "base/http/codec.h"
#include "base/loop/loop.h"
#include "base/net/connection.h"
#include "proxy/stream/reply/stream_error.h"
#include "proxy/transport/host_transport.h"

namespace meltemi::proxy {

class Pool;

// Loop-owned by its pool.
//
//   connecting ──OnConnected──▶ open ──Retire──▶ retiring ──no streams──▶ closed
//        └─ failed, timed out ─▶ closed ◀── lost, finished ──┘
class PooledConnection final : public Deferrable, public net::ConnectionHandler {
 public:
  PooledConnection(Pool& pool, bool high_priority);
  ~PooledConnection() override;

  // There must be room. The receiver hears the response.
  http::Stream& NewStream(http::StreamReceiver* receiver, bool tunnel);
  // A stream was ended from this side (Stream::Reset): look at the codec again at the end of the
  // turn.
  void SettleSoon();

  bool HasRoom() const;
  // Has carried a request before the one that is being attached: the peer may have closed it
  // already.
  bool reused() const { return streams_started_ > 1; }
  http::Protocol protocol() const;
  const net::Address& local_address() const { return host_.connection->local_address(); }
  // Null: plaintext.
  const std::shared_ptr<const TlsInfo>& tls_info() const { return tls_info_; }
  bool connecting() const { return state_ == State::kConnecting; }
  // Takes no new streams; closes after the last one.
  void Retire();

  // net::ConnectionHandler
  void OnConnected() override;
  void OnRead(Buffer& in, bool end_of_stream) override;
  void OnWriteBlocked(bool blocked) override;
  void OnDrained() override { OnWriteBlocked(false); }
  void OnClosed(net::CloseCause cause, absl::string_view detail) override;

 private:
  friend class Pool;
  enum class State : uint8_t { kConnecting, kOpen, kRetiring, kClosed };

  // What the codec sees of its connection.
  class Wire final : public http::CodecTransport, public http::ClientCodecEvents {
   public:
    explicit Wire(PooledConnection& owner) : owner_(owner) {}
    Buffer& output() override;
    void OutputReady() override;
    void ReceiveAgain() override;
    void CloseWrite() override;
    void OnStreamFinished(http::Stream& stream) override;
    void OnPeerDraining() override;
    void OnCapacityChanged() override;
    void OnPong() override;

   private:
    PooledConnection& owner_;
  };
  class SettleTask final : public TurnEndTask {
   public:
    explicit SettleTask(PooledConnection& owner) : owner_(owner) {}
    void RunAtTurnEnd() override { owner_.RunAtTurnEnd(); }

   private:
    PooledConnection& owner_;
  };

  void RunAtTurnEnd();
  void Receive();
  // Draws the consequences of what the codec says now.
  void Settle();
  void CountProtocol();
  // The handshake is over: what it said decides the protocol, where it has to.
  void OnSecured();
  void OnTimer();
  void OnDurationReached();
  void OnPingTimer();
  // The end: tells the codec (whose streams are reset) and the pool.
  void Finish(http::ResetCause cause, absl::string_view detail, bool remote);
  void CountClosed(bool remote);
  void CountBytes();

  Pool& pool_;
  const bool high_priority_;
  Wire wire_{*this};
  SettleTask settle_task_{*this};
  HostConnection host_;
  std::shared_ptr<const TlsInfo> tls_info_;
  std::unique_ptr<http::ClientCodec> codec_;
  // Connect timeout first, idle timeout afterwards.
  std::unique_ptr<Timer> timer_;
  std::unique_ptr<Timer> duration_timer_;
  std::unique_ptr<Timer> ping_timer_;  // the next ping, or the end of waiting for its answer
  State state_ = State::kConnecting;
  bool end_of_input_ = false;
  bool receive_again_ = false;
  bool receiving_ = false;
  bool listed_ = false;  // in the pool's with_room_
  bool peer_draining_ = false;
  bool pong_due_ = false;
  uint64_t streams_started_ = 0;
  uint64_t bytes_read_counted_ = 0, bytes_written_counted_ = 0;
  MonotonicTime begun_;
  size_t index_ = 0;  // in the pool's connections_
};

}  // namespace meltemi::proxy
