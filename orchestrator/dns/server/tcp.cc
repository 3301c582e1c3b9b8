#include "orchestrator/dns/server/tcp.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/bytes/buffer.h"

namespace meltemi::dns {
namespace {

constexpr size_t kLengthBytes = 2;
constexpr Duration kIdleMax = seconds(10);
constexpr Duration kFlushTimeout = seconds(1);
constexpr int kUnderWayMax = 32;  // questions of one connection

}  // namespace

class TcpClient final : public Deferrable, public net::ConnectionHandler {
 public:
  TcpClient(TcpClients& clients, uint64_t id, int fd, const net::Address& remote)
      : clients_(clients),
        id_(id),
        connection_(net::NewServerConnection(clients.loop_, fd, remote, Limits())),
        idle_(clients.loop_.NewTimer([this] { Leave(); })) {
    connection_->SetHandler(this);
    Active();
  }
  ~TcpClient() override { connection_->SetHandler(nullptr); }

  MonotonicTime active_at() const { return active_at_; }

  void Send(absl::string_view message) {
    const std::array<char, kLengthBytes> length = {static_cast<char>(message.size() >> 8),
                                                   static_cast<char>(message.size())};
    connection_->output().Append(absl::string_view(length.data(), length.size()));
    connection_->output().Append(message);
    connection_->FlushSoon();
    Active();
  }
  void SendLater(absl::string_view message) {
    Send(message);
    if (--under_way_ == kUnderWayMax - 1) connection_->PauseReading(false);
  }
  // Closes without a word and is gone.
  void Leave() {
    connection_->Abort();
    clients_.Remove(id_);
  }

 private:
  static net::ConnectionLimits Limits() {
    net::ConnectionLimits limits;
    limits.read_buffer_bytes_max = kLengthBytes + kMessageBytesMax;
    return limits;
  }
  void Active() {
    active_at_ = clients_.loop_.Now();
    idle_->Arm(kIdleMax);
  }

  void OnRead(Buffer& in, bool end_of_stream) override {
    while (in.size() >= kLengthBytes && under_way_ < kUnderWayMax && !blocked_) {
      const absl::string_view head = in.Linearize(kLengthBytes);
      const size_t length =
          static_cast<size_t>(static_cast<uint8_t>(head[0])) << 8 | static_cast<uint8_t>(head[1]);
      if (in.size() < kLengthBytes + length) break;
      const std::string message(in.Linearize(kLengthBytes + length).substr(kLengthBytes, length));
      in.Drain(kLengthBytes + length);
      Take(message);
    }
    if (under_way_ >= kUnderWayMax || blocked_) connection_->PauseReading(true);
    if (end_of_stream && under_way_ == 0) connection_->Close(kFlushTimeout);
  }

  void Take(const std::string& message) {
    Active();
    const absl::string_view answer = clients_.answerer_.Answer(
        message, Transport::kTcp, clients_.room_.data(), [this]() -> Reply {
          ++under_way_;
          return [clients = clients_.self_, id = id_](absl::string_view answer) {
            if (*clients == nullptr) return;
            const auto found = (*clients)->clients_.find(id);
            if (found != (*clients)->clients_.end()) found->second->SendLater(answer);
          };
        });
    if (!answer.empty()) Send(answer);
  }

  void OnWriteBlocked(bool blocked) override {
    blocked_ = blocked;
    connection_->PauseReading(blocked || under_way_ >= kUnderWayMax);
  }
  void OnClosed(net::CloseCause cause, absl::string_view detail) override { clients_.Remove(id_); }

  TcpClients& clients_;
  const uint64_t id_;
  std::unique_ptr<net::Connection> connection_;
  std::unique_ptr<Timer> idle_;
  MonotonicTime active_at_;
  int under_way_ = 0;
  bool blocked_ = false;
};

TcpClients::TcpClients(Loop& loop, Answerer& answerer, size_t connections_max)
    : loop_(loop),
      answerer_(answerer),
      connections_max_(connections_max),
      room_(kMessageBytesMax, '\0'),
      self_(std::make_shared<TcpClients*>(this)) {}

TcpClients::~TcpClients() {
  *self_ = nullptr;
  clients_.clear();
}

void TcpClients::Accept(int fd, const net::Address& remote) {
  if (clients_.size() >= connections_max_) {
    const auto idle = std::min_element(
        clients_.begin(), clients_.end(),
        [](const auto& a, const auto& b) { return a.second->active_at() < b.second->active_at(); });
    if (idle == clients_.end()) {
      close(fd);
      return;
    }
    idle->second->Leave();
  }
  const uint64_t id = next_id_++;
  clients_[id] = std::make_unique<TcpClient>(*this, id, fd, remote);
}

void TcpClients::Remove(uint64_t id) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  loop_.DeferDelete(std::move(found->second));
  clients_.erase(found);
}

}  // namespace meltemi::dns
