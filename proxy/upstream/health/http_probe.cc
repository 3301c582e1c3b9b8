#include <utility>

#include "base/http/codec.h"
#include "proxy/upstream/health/probe.h"

namespace meltemi::proxy {
namespace {

class HttpProbe final : public Probe, public net::ConnectionHandler {
 public:
  HttpProbe(const ProbeTarget& target, const HealthCheck& check, Callback on_done)
      : target_(target), check_(check), on_done_(std::move(on_done)) {}
  ~HttpProbe() override { Drop(); }

  void Start() override {
    under_way_ = true;
    status_ = 0;
    if (codec_ != nullptr && codec_->capacity() > 0) {
      Ask();
      return;
    }
    Drop();
    connection_ = target_.Connect(check_.http2 ? http::Protocol::kHttp2 : http::Protocol::kHttp11);
    connection_->SetHandler(this);
  }
  void Cancel() override {
    under_way_ = false;
    Drop();
  }

  void OnConnected() override {
    codec_ = check_.http2 ? http::NewHttp2ClientCodec(wire_, wire_, {})
                          : http::NewHttp1ClientCodec(wire_, wire_, {});
    if (under_way_) Ask();
  }
  void OnRead(Buffer&, bool end_of_stream) override {
    end_of_input_ = end_of_stream;
    Receive();
  }
  void OnClosed(net::CloseCause, absl::string_view) override { Fail(); }

 private:
  // What the codec and the one stream see of us.
  class Wire final : public http::CodecTransport, public http::ClientCodecEvents {
   public:
    explicit Wire(HttpProbe& owner) : owner_(owner) {}
    Buffer& output() override { return owner_.connection_->output(); }
    void OutputReady() override { owner_.connection_->FlushSoon(); }
    void ReceiveAgain() override { owner_.target_.loop.AtTurnEnd(&owner_.receive_task_); }
    void CloseWrite() override { owner_.connection_->CloseWrite(); }
    void OnStreamFinished(http::Stream&) override {}
    void OnPeerDraining() override {}

   private:
    HttpProbe& owner_;
  };
  class Receiver final : public http::StreamReceiver {
   public:
    explicit Receiver(HttpProbe& owner) : owner_(owner) {}
    void OnHeaders(http::HeaderMapPtr headers, bool end_stream) override {
      owner_.status_ = headers->status();
      if (end_stream) owner_.answered_ = true;
    }
    void OnData(Buffer& data, bool end_stream) override {
      data.Clear();
      if (end_stream) owner_.answered_ = true;
    }
    void OnTrailers(http::HeaderMapPtr) override { owner_.answered_ = true; }
    void OnReset(http::ResetCause, absl::string_view) override { owner_.lost_ = true; }
    void OnWriteBlocked(bool) override {}

   private:
    HttpProbe& owner_;
  };
  class ReceiveTask final : public TurnEndTask {
   public:
    explicit ReceiveTask(HttpProbe& owner) : owner_(owner) {}
    void RunAtTurnEnd() override { owner_.Receive(); }

   private:
    HttpProbe& owner_;
  };

  void Ask() {
    answered_ = lost_ = false;
    http::HeaderMapPtr headers = http::HeaderMap::New();
    headers->set_method(check_.method);
    headers->set_scheme("http");
    headers->set_path(check_.path);
    headers->set_authority(check_.host.empty() ? target_.authority : check_.host);
    headers->Add(http::HeaderId::kUserAgent, "Envoy/HC");
    http::Stream& stream = codec_->NewStream(&receiver_);
    stream.SendHeaders(*headers, /*end_stream=*/true);
  }
  void Receive() {
    if (codec_ == nullptr) return;
    const bool ok = codec_->Receive(connection_->input(), end_of_input_).ok();
    if (answered_ && under_way_) {
      const bool reusable = ok && check_.reuse_connection && !end_of_input_ && !codec_->finished();
      if (!reusable) Drop();
      under_way_ = answered_ = false;
      on_done_(Expected() ? ProbeResult::kSuccess : ProbeResult::kFailure);
      return;
    }
    if (!ok || lost_ || end_of_input_ || codec_->finished()) Fail();
  }
  bool Expected() const {
    if (check_.expected_statuses.empty()) return status_ == 200;
    for (const auto& [from, to] : check_.expected_statuses) {
      if (static_cast<uint32_t>(status_) >= from && static_cast<uint32_t>(status_) < to)
        return true;
    }
    return false;
  }
  void Fail() {
    Drop();
    if (std::exchange(under_way_, false)) on_done_(ProbeResult::kNetworkFailure);
  }
  void Drop() {
    end_of_input_ = false;
    if (connection_ == nullptr) return;
    connection_->SetHandler(nullptr);
    target_.loop.DeferDelete(std::move(connection_));
    if (codec_ == nullptr) return;
    // It may be the codec that called us.
    target_.loop.DeferDelete(std::make_unique<CodecHolder>(std::move(codec_)));
  }
  struct CodecHolder final : Deferrable {
    explicit CodecHolder(std::unique_ptr<http::ClientCodec> held) : codec(std::move(held)) {}
    std::unique_ptr<http::ClientCodec> codec;
  };

  const ProbeTarget target_;
  const HealthCheck& check_;
  Callback on_done_;
  Wire wire_{*this};
  Receiver receiver_{*this};
  ReceiveTask receive_task_{*this};
  std::unique_ptr<net::Connection> connection_;
  std::unique_ptr<http::ClientCodec> codec_;
  int status_ = 0;
  bool under_way_ = false;
  bool answered_ = false;
  bool lost_ = false;
  bool end_of_input_ = false;
};

}  // namespace

std::unique_ptr<Probe> NewHttpProbe(const ProbeTarget& target, const HealthCheck& check,
                                    Probe::Callback on_done) {
  return std::make_unique<HttpProbe>(target, check, std::move(on_done));
}

}  // namespace meltemi::proxy
