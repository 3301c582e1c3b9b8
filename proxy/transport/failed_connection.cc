#include "proxy/transport/failed_connection.h"

namespace meltemi::proxy {
namespace {

class FailedConnection final : public net::Connection, private TurnEndTask {
 public:
  FailedConnection(Loop& loop, const net::Address& to, absl::string_view detail)
      : to_(to), detail_(detail) {
    loop.AtTurnEnd(this);
  }

  void SetHandler(net::ConnectionHandler* handler) override { handler_ = handler; }
  Buffer& input() override { return nothing_; }
  Buffer& output() override { return nothing_; }
  void FlushSoon() override {}
  void PauseReading(bool) override {}
  bool reading_paused() const override { return false; }
  void CloseWrite() override {}
  void Close(Duration) override {}
  void Abort() override { handler_ = nullptr; }
  const net::Address& local_address() const override { return none_; }
  const net::Address& remote_address() const override { return to_; }
  int fd() const override { return -1; }
  bool connected() const override { return false; }
  uint64_t bytes_read() const override { return 0; }
  uint64_t bytes_written() const override { return 0; }
  void SetKeepalive(const net::TcpKeepalive&) override {}

 private:
  void RunAtTurnEnd() override {
    if (handler_ != nullptr) handler_->OnClosed(net::CloseCause::kConnectFailed, detail_);
  }

  const net::Address to_, none_;
  const std::string detail_;
  Buffer nothing_;
  net::ConnectionHandler* handler_ = nullptr;
};

}  // namespace

std::unique_ptr<net::Connection> NewFailedConnection(Loop& loop, const net::Address& to,
                                                     absl::string_view detail) {
  return std::make_unique<FailedConnection>(loop, to, detail);
}

}  // namespace meltemi::proxy
