#include "base/net/connection.h"

#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log/log.h"

namespace meltemi::net {
namespace {

constexpr uint8_t kAllEvents = kFdReadable | kFdWritable | kFdClosed;
// Fairness: what one connection may read before the others get their turn.
constexpr size_t kReadBytesPerTurn = 256 * 1024;
// A read is worth a system call when at least this much room is there for it.
constexpr size_t kReadRoomBytesMin = 4096;
constexpr size_t kWriteVectors = 32;
// What a lingering close throws away before it gives up on the peer.
constexpr size_t kLingerBytesMax = 16 * 1024 * 1024;

void SetOption(int fd, int level, int option, int value) {
  (void)setsockopt(fd, level, option, &value, sizeof(value));
}

Address LocalAddress(int fd) {
  sockaddr_storage address;
  socklen_t length = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length) != 0) return Address();
  return Address::FromSockaddr(reinterpret_cast<sockaddr*>(&address), length);
}

// States:   kConnecting --> kOpen --> kFlushing --> kLingering --> kClosed
//                 \___________ \______________________________________^
// kFlushing: Close() was called and output remains. kLingering: FIN is sent, the rest of what the
// peer sends is thrown away. From every state an error leads to kClosed.
class SocketConnection final : public Connection {
 public:
  enum class State : uint8_t { kConnecting, kOpen, kFlushing, kLingering, kClosed };

  SocketConnection(Loop& loop, int fd, State state, const Address& remote,
                   const ConnectionLimits& limits)
      : loop_(loop), fd_(fd), state_(state), remote_(remote), limits_(limits), turn_end_(*this) {
    if (fd_ >= 0) {
      watch_ = loop_.WatchFd(fd_, FdTrigger::kEdge, kAllEvents,
                             [this](uint8_t events) { OnEvents(events); });
    }
  }
  ~SocketConnection() override { CloseFd(); }

  void SetHandler(ConnectionHandler* handler) override { handler_ = handler; }
  Buffer& input() override { return input_; }
  Buffer& output() override { return output_; }
  void FlushSoon() override { loop_.AtTurnEnd(&turn_end_); }
  void PauseReading(bool paused) override;
  bool reading_paused() const override { return paused_; }
  void CloseWrite() override;
  void Close(Duration flush_timeout) override;
  void Abort() override;

  const Address& local_address() const override {
    if (!local_.set() && fd_ >= 0) local_ = LocalAddress(fd_);
    return local_;
  }
  const Address& remote_address() const override { return remote_; }
  int fd() const override { return fd_; }
  bool connected() const override { return state_ == State::kOpen; }
  uint64_t bytes_read() const override { return bytes_read_; }
  uint64_t bytes_written() const override { return bytes_written_; }
  void SetKeepalive(const TcpKeepalive& keepalive) override;

  // The connect call failed at once with `error`: told at the end of this turn.
  void FailConnect(int error) {
    connect_error_ = error;
    FlushSoon();
  }

 private:
  struct TurnEnd final : TurnEndTask {
    explicit TurnEnd(SocketConnection& owner) : owner_(owner) {}
    void RunAtTurnEnd() override { owner_.OnTurnEnd(); }
    SocketConnection& owner_;
  };

  void OnEvents(uint8_t events);
  void OnTurnEnd();
  void FinishConnect();
  void Read();
  // Returns false when the socket failed (then read_error_ says how).
  bool ReadSome();
  void Deliver();
  void Flush();
  void AfterFlush(bool had_output);
  void Linger();
  void Finish(CloseCause cause, int error);
  void CloseFd();

  Loop& loop_;
  int fd_;
  State state_;
  const Address remote_;
  mutable Address local_;
  const ConnectionLimits limits_;
  ConnectionHandler* handler_ = nullptr;
  std::unique_ptr<FdWatch> watch_;
  TurnEnd turn_end_;
  std::unique_ptr<Timer> close_timer_;
  Buffer input_, output_;
  uint64_t bytes_read_ = 0, bytes_written_ = 0;
  size_t lingered_bytes_ = 0;
  int connect_error_ = 0;
  int read_error_ = 0;
  bool paused_ = false;
  bool readable_ = false;      // the kernel may hold more bytes or the end
  bool peer_closing_ = false;  // the kernel said that the end is near: read until it is seen
  bool eof_ = false;           // the end has been read
  bool eof_delivered_ = false;
  bool writable_ = false;
  bool write_blocked_ = false;  // the handler was told
  bool write_shut_wanted_ = false;
  bool write_shut_ = false;
};

void SocketConnection::OnEvents(uint8_t events) {
  if (state_ == State::kClosed || connect_error_ != 0) return;
  if (events & kFdWritable) writable_ = true;
  if (events & kFdReadable) readable_ = true;
  if (events & kFdClosed) readable_ = peer_closing_ = true;
  if (state_ == State::kConnecting) {
    if (writable_) FinishConnect();
    if (state_ != State::kOpen) return;
  }
  if (state_ == State::kLingering) return Linger();
  if (writable_ && !output_.empty()) Flush();
  if (state_ == State::kFlushing) return;
  Read();
}

void SocketConnection::OnTurnEnd() {
  if (state_ == State::kClosed) return;
  if (connect_error_ != 0) return Finish(CloseCause::kConnectFailed, connect_error_);
  if (state_ == State::kConnecting) return;
  if (state_ == State::kLingering) return Linger();
  Flush();
}

void SocketConnection::FinishConnect() {
  int error = 0;
  socklen_t length = sizeof(error);
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) != 0) error = errno;
  if (error != 0) return Finish(CloseCause::kConnectFailed, error);
  state_ = State::kOpen;
  if (handler_ != nullptr) handler_->OnConnected();
  if (state_ == State::kOpen && (!output_.empty() || write_shut_wanted_)) FlushSoon();
}

void SocketConnection::PauseReading(bool paused) {
  if (paused_ == paused) return;
  paused_ = paused;
  // Events come from the loop, so what waits is delivered in a later phase.
  if (!paused && watch_ != nullptr && (readable_ || !input_.empty() || (eof_ && !eof_delivered_))) {
    watch_->Activate(kFdReadable);
  }
}

bool SocketConnection::ReadSome() {
  size_t budget = kReadBytesPerTurn;
  while (readable_ && !eof_ && input_.size() < limits_.read_buffer_bytes_max) {
    if (budget == 0) {
      watch_->Activate(kFdReadable);
      return true;
    }
    size_t room = 0;
    char* to = input_.Reserve(kReadRoomBytesMin, &room);
    const ssize_t got = recv(fd_, to, room, 0);
    if (got < 0) {
      const int error = errno;
      input_.Commit(0);
      if (error == EINTR) continue;
      readable_ = false;
      if (error == EAGAIN) return true;
      read_error_ = error;
      return false;
    }
    input_.Commit(static_cast<size_t>(got));
    bytes_read_ += static_cast<uint64_t>(got);
    budget -= std::min(budget, static_cast<size_t>(got));
    if (got == 0) eof_ = true;
    // A short read has emptied the socket; a later change brings a new edge.
    if (static_cast<size_t>(got) < room && !peer_closing_) readable_ = false;
  }
  return true;
}

void SocketConnection::Read() {
  if (paused_) {
    // Only a reset is looked for (libevent tells of it as readable and writable): the bytes stay
    // where they are.
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error != 0) {
      Finish(CloseCause::kRemoteReset, error);
    }
    return;
  }
  const size_t before = input_.size();
  const bool ok = ReadSome();
  if (input_.size() != before || (before != 0) || (eof_ && !eof_delivered_)) Deliver();
  if (!ok && state_ != State::kClosed) Finish(CloseCause::kRemoteReset, read_error_);
}

void SocketConnection::Deliver() {
  if (eof_) eof_delivered_ = true;
  if (handler_ != nullptr) handler_->OnRead(input_, eof_);
  if (state_ != State::kOpen) return;
  // The limit held reading back, and the handler has made room.
  if (!paused_ && readable_ && !eof_ && input_.size() < limits_.read_buffer_bytes_max) {
    watch_->Activate(kFdReadable);
  }
  if (eof_ && write_shut_) Finish(CloseCause::kRemoteClosed, 0);
}

void SocketConnection::Flush() {
  const bool had_output = !output_.empty();
  while (!output_.empty()) {
    iovec vectors[kWriteVectors];
    msghdr message{};
    message.msg_iov = vectors;
    message.msg_iovlen = output_.Gather(absl::MakeSpan(vectors));
    size_t offered = 0;
    for (size_t i = 0; i < message.msg_iovlen; ++i) offered += vectors[i].iov_len;
    // One block is the rule; the kernel takes it with less ado than a message.
    const ssize_t sent = message.msg_iovlen == 1
                             ? send(fd_, vectors[0].iov_base, vectors[0].iov_len, MSG_NOSIGNAL)
                             : sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (sent < 0) {
      const int error = errno;
      if (error == EINTR) continue;
      writable_ = false;
      if (error == EAGAIN) break;
      // What the peer said before it went away is still worth reading (an early response).
      if (state_ == State::kOpen && !paused_ && !eof_) {
        readable_ = peer_closing_ = true;
        Read();
      }
      if (state_ != State::kClosed) Finish(CloseCause::kRemoteReset, error);
      return;
    }
    output_.Drain(static_cast<size_t>(sent));
    bytes_written_ += static_cast<uint64_t>(sent);
    if (static_cast<size_t>(sent) < offered) {
      writable_ = false;
      break;
    }
  }
  AfterFlush(had_output);
}

void SocketConnection::AfterFlush(bool had_output) {
  if (output_.empty() && write_shut_wanted_ && !write_shut_) {
    write_shut_ = true;
    shutdown(fd_, SHUT_WR);
  }
  if (state_ == State::kFlushing) {
    if (output_.empty()) {
      state_ = State::kLingering;
      readable_ = true;
      Linger();
    }
    return;
  }
  if (handler_ == nullptr) return;
  if (!write_blocked_ && output_.size() > limits_.write_buffer_bytes_high) {
    write_blocked_ = true;
    handler_->OnWriteBlocked(true);
  } else if (write_blocked_ && output_.size() <= limits_.write_buffer_bytes_high / 2) {
    write_blocked_ = false;
    handler_->OnWriteBlocked(false);
  }
  if (had_output && output_.empty() && handler_ != nullptr) handler_->OnDrained();
  if (state_ == State::kOpen && write_shut_ && eof_ && eof_delivered_) {
    Finish(CloseCause::kRemoteClosed, 0);
  }
}

void SocketConnection::CloseWrite() {
  if (write_shut_wanted_ || state_ == State::kClosed) return;
  write_shut_wanted_ = true;
  FlushSoon();
}

void SocketConnection::Close(Duration flush_timeout) {
  if (state_ == State::kClosed || state_ == State::kFlushing || state_ == State::kLingering) return;
  input_.Clear();
  if (state_ == State::kConnecting) output_.Clear();  // there is nobody to send it to
  state_ = state_ == State::kConnecting ? State::kLingering : State::kFlushing;
  write_shut_wanted_ = true;
  close_timer_ = loop_.NewTimer([this] { Finish(CloseCause::kLocalClosed, 0); });
  close_timer_->Arm(flush_timeout);
  FlushSoon();
}

void SocketConnection::Linger() {
  char scratch[16 * 1024];
  while (!eof_ && lingered_bytes_ < kLingerBytesMax) {
    const ssize_t got = recv(fd_, scratch, sizeof(scratch), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) break;
    lingered_bytes_ += static_cast<size_t>(got);
  }
  Finish(CloseCause::kLocalClosed, 0);
}

void SocketConnection::Abort() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  const linger reset{.l_onoff = 1, .l_linger = 0};
  if (fd_ >= 0) (void)setsockopt(fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
  CloseFd();
}

void SocketConnection::Finish(CloseCause cause, int error) {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  (void)local_address();
  CloseFd();
  if (close_timer_ != nullptr) close_timer_->Disarm();
  if (handler_ != nullptr) {
    handler_->OnClosed(cause, error == 0 ? absl::string_view() : std::strerror(error));
  }
}

void SocketConnection::CloseFd() {
  watch_.reset();
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

void SocketConnection::SetKeepalive(const TcpKeepalive& keepalive) {
  if (fd_ < 0) return;
  SetOption(fd_, SOL_SOCKET, SO_KEEPALIVE, 1);
  if (keepalive.probes > 0) SetOption(fd_, IPPROTO_TCP, TCP_KEEPCNT, keepalive.probes);
  if (keepalive.idle_seconds > 0) SetOption(fd_, IPPROTO_TCP, TCP_KEEPIDLE, keepalive.idle_seconds);
  if (keepalive.interval_seconds > 0) {
    SetOption(fd_, IPPROTO_TCP, TCP_KEEPINTVL, keepalive.interval_seconds);
  }
}

}  // namespace

std::unique_ptr<Connection> NewServerConnection(Loop& loop, int fd, const Address& remote,
                                                const ConnectionLimits& limits) {
  if (remote.is_ip()) SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  return std::make_unique<SocketConnection>(loop, fd, SocketConnection::State::kOpen, remote,
                                            limits);
}

std::unique_ptr<Connection> NewClientConnection(Loop& loop, const Address& to,
                                                const Address& source,
                                                const ConnectionLimits& limits) {
  const int fd = socket(to.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int error = fd < 0 ? errno : 0;
  if (error == 0 && to.is_ip()) SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  if (error == 0 && source.set()) {
    // The port is chosen at connect, so that many connections can share a source address.
    SetOption(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    if (bind(fd, source.raw(), source.raw_length()) != 0) error = errno;
  }
  if (error == 0 && connect(fd, to.raw(), to.raw_length()) != 0 && errno != EINPROGRESS) {
    error = errno;
  }
  auto connection = std::make_unique<SocketConnection>(
      loop, fd, SocketConnection::State::kConnecting, to, limits);
  if (error != 0) connection->FailConnect(error);
  return connection;
}

}  // namespace meltemi::net
