#include <string>
#include <utility>

#include "proxy/upstream/health/probe.h"

namespace meltemi::proxy {
namespace {

// More than any expected answer needs; a host that sends more without it is not the one we expect.
constexpr size_t kAnswerBytesMax = 64 * 1024;

class TcpProbe final : public Probe, public net::ConnectionHandler {
 public:
  TcpProbe(const ProbeTarget& target, const HealthCheck& check, Callback on_done)
      : target_(target), check_(check), on_done_(std::move(on_done)) {}
  ~TcpProbe() override { Drop(); }

  void Start() override {
    under_way_ = true;
    answer_.clear();
    if (connection_ != nullptr) {
      Ask();
      return;
    }
    connection_ = target_.Connect(std::nullopt);
    connection_->SetHandler(this);
  }
  void Cancel() override {
    under_way_ = false;
    Drop();
  }

  void OnConnected() override {
    if (under_way_) Ask();
  }
  void OnRead(Buffer& in, bool end_of_stream) override {
    if (under_way_) answer_ += in.ToString();
    in.Clear();
    if (under_way_ && Expected()) return Done(ProbeResult::kSuccess);
    if (answer_.size() > kAnswerBytesMax) return Done(ProbeResult::kFailure);
    if (!end_of_stream) return;
    if (under_way_) return Done(ProbeResult::kNetworkFailure);
    Drop();
  }
  void OnClosed(net::CloseCause, absl::string_view) override {
    if (under_way_) return Done(ProbeResult::kNetworkFailure);
    Drop();
  }

 private:
  void Ask() {
    if (!check_.tcp_send.empty()) {
      connection_->output().Append(check_.tcp_send);
      connection_->FlushSoon();
    }
    // A reused connection that is still open is as good as a new one: told from the loop.
    if (check_.tcp_receive.empty()) target_.loop.AtTurnEnd(&open_task_);
  }
  // Each expected piece in order, whatever is in between.
  bool Expected() const {
    if (check_.tcp_receive.empty()) return false;
    size_t at = 0;
    for (const std::string& piece : check_.tcp_receive) {
      at = answer_.find(piece, at);
      if (at == std::string::npos) return false;
      at += piece.size();
    }
    return true;
  }
  void Done(ProbeResult result) {
    under_way_ = false;
    if (result != ProbeResult::kSuccess || !check_.reuse_connection) Drop();
    on_done_(result);
  }
  void Drop() {
    if (connection_ == nullptr) return;
    connection_->SetHandler(nullptr);
    target_.loop.DeferDelete(std::move(connection_));
  }

  class OpenTask final : public TurnEndTask {
   public:
    explicit OpenTask(TcpProbe& owner) : owner_(owner) {}
    void RunAtTurnEnd() override {
      if (owner_.under_way_) owner_.Done(ProbeResult::kSuccess);
    }

   private:
    TcpProbe& owner_;
  };

  const ProbeTarget target_;
  const HealthCheck& check_;
  Callback on_done_;
  OpenTask open_task_{*this};
  std::unique_ptr<net::Connection> connection_;
  std::string answer_;
  bool under_way_ = false;
};

}  // namespace

std::unique_ptr<Probe> NewTcpProbe(const ProbeTarget& target, const HealthCheck& check,
                                   Probe::Callback on_done) {
  return std::make_unique<TcpProbe>(target, check, std::move(on_done));
}

}  // namespace meltemi::proxy
