// A connection in memory: the test plays the peer and the kernel.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/net/connection.h"

namespace meltemi::net {

// What of a FakeConnection outlives it, so that a test can look after the owner has deleted it.
struct FakePeer {
  Buffer sent;  // everything that the code under test has flushed
  bool write_closed = false;
  bool closed = false;  // Close() or Abort() was called, or it was deleted
  bool aborted = false;
  // false: output stays where it is, as with a peer that reads nothing.
  bool accepts = true;
};

// Loop-owned. Flushes at the turn's end as the real one does.
class FakeConnection final : public Connection {
 public:
  FakeConnection(Loop& loop, std::shared_ptr<FakePeer> peer, bool connected,
                 const ConnectionLimits& limits = {})
      : loop_(loop),
        peer_(std::move(peer)),
        connected_(connected),
        limits_(limits),
        turn_end_(*this) {}
  ~FakeConnection() override { peer_->closed = true; }

  // --- The test's side
  void CompleteConnect() {
    connected_ = true;
    if (handler_ != nullptr) handler_->OnConnected();
    FlushSoon();
  }
  void Receive(absl::string_view bytes, bool end_of_stream = false) {
    input_.Append(bytes);
    bytes_read_ += bytes.size();
    eof_ |= end_of_stream;
    Deliver();
  }
  void Fail(CloseCause cause, absl::string_view detail = "") {
    if (std::exchange(closed_, true)) return;
    if (handler_ != nullptr) handler_->OnClosed(cause, detail);
  }
  // Lets the peer read again after peer.accepts was false.
  void Accept() {
    peer_->accepts = true;
    FlushSoon();
  }
  FakePeer& peer() { return *peer_; }

  // --- Connection
  void SetHandler(ConnectionHandler* handler) override { handler_ = handler; }
  Buffer& input() override { return input_; }
  Buffer& output() override { return output_; }
  void FlushSoon() override { loop_.AtTurnEnd(&turn_end_); }
  void PauseReading(bool paused) override {
    paused_ = paused;
    if (!paused && (!input_.empty() || eof_)) {
      resume_ = true;
      FlushSoon();
    }
  }
  bool reading_paused() const override { return paused_; }
  void CloseWrite() override {
    close_write_ = true;
    FlushSoon();
  }
  void Close(Duration) override {
    closing_ = true;
    FlushSoon();
  }
  void Abort() override {
    closed_ = true;
    peer_->closed = peer_->aborted = true;
  }
  const Address& local_address() const override { return local; }
  const Address& remote_address() const override { return remote; }
  int fd() const override { return -1; }
  bool connected() const override { return connected_ && !closed_ && !closing_; }
  uint64_t bytes_read() const override { return bytes_read_; }
  uint64_t bytes_written() const override { return bytes_written_; }
  void SetKeepalive(const TcpKeepalive& keepalive) override { keepalive_set = keepalive; }

  Address local = Address::Loopback4(1111);
  Address remote = Address::Loopback4(2222);
  TcpKeepalive keepalive_set;

 private:
  struct TurnEnd final : TurnEndTask {
    explicit TurnEnd(FakeConnection& owner) : owner_(owner) {}
    void RunAtTurnEnd() override { owner_.Flush(); }
    FakeConnection& owner_;
  };

  void Deliver() {
    if (!paused_ && !closed_ && !closing_ && handler_ != nullptr) handler_->OnRead(input_, eof_);
  }
  void Flush() {
    if (closed_) return;
    if (std::exchange(resume_, false)) Deliver();
    if (!connected_) return;
    const bool had_output = !output_.empty();
    if (peer_->accepts) {
      bytes_written_ += output_.size();
      peer_->sent.MoveFrom(output_);
    }
    if (output_.empty() && close_write_) peer_->write_closed = true;
    if (closing_ && output_.empty()) {
      closed_ = peer_->closed = true;
      if (handler_ != nullptr) handler_->OnClosed(CloseCause::kLocalClosed, "");
      return;
    }
    const bool high = output_.size() > limits_.write_buffer_bytes_high;
    if (high != blocked_ && handler_ != nullptr) {
      blocked_ = high;
      handler_->OnWriteBlocked(high);
    }
    if (had_output && output_.empty() && handler_ != nullptr) handler_->OnDrained();
  }

  Loop& loop_;
  std::shared_ptr<FakePeer> peer_;
  bool connected_;
  const ConnectionLimits limits_;
  ConnectionHandler* handler_ = nullptr;
  TurnEnd turn_end_;
  Buffer input_, output_;
  uint64_t bytes_read_ = 0, bytes_written_ = 0;
  bool paused_ = false, resume_ = false, eof_ = false, blocked_ = false;
  bool close_write_ = false, closing_ = false, closed_ = false;
};

}  // namespace meltemi::net
