#include "orchestrator/kubelet/server/streams/port_forward.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/kubelet/server/streams/handshake.h"
#include "orchestrator/kubelet/server/streams/websocket.h"

namespace meltemi::kubelet {
namespace {

class PortForward final : public apiserver::Translator, private WebSocketEvents {
 public:
  explicit PortForward(std::string key) : key_(std::move(key)) {}

  std::string PeerMethod() const override { return "POST"; }
  Fields PeerFields() const override { return SpdyRequest(kPortForward); }
  kube::Result<Fields> OnUpgraded(const Fields& peer, Out& out) override {
    const kube::Result<std::string> version = SpdyVersion(peer);
    if (!version.ok()) return version.status();
    return WebSocketAgreement(key_, absl::StrCat(kTunnelPrefix, *version));
  }

  void FromClient(Buffer& data, bool end, Out& out) override {
    if (over_) return data.Clear();
    out_ = &out;
    if (absl::Status status = websocket_in_.Receive(data); !status.ok()) {
      Finish(kWebSocketProtocolError, status.message());
    }
    if (end) Finish(kWebSocketNormal, "");
    out_ = nullptr;
  }
  void FromPeer(Buffer& data, bool end, Out& out) override {
    if (over_) return data.Clear();
    out_ = &out;
    if (!data.empty()) AppendWebSocketMessage("", data, out.to_client);
    if (end) Finish(kWebSocketNormal, "");
    out_ = nullptr;
  }

 private:
  void OnMessage(Buffer& data, bool, bool) override {
    if (!over_) out_->to_peer.MoveFrom(data);
  }
  void OnPing(absl::string_view payload) override {
    if (!over_) AppendWebSocketPong(payload, out_->to_client);
  }
  void OnClose(uint16_t) override { Finish(kWebSocketNormal, ""); }

  void Finish(uint16_t code, absl::string_view why) {
    if (over_) return;
    over_ = true;
    AppendWebSocketClose(code, why, out_->to_client);
    out_->end_client = out_->end_peer = true;
  }

  const std::string key_;
  WebSocketReader websocket_in_{*this};
  Out* out_ = nullptr;  // while bytes are looked at
  bool over_ = false;
};

}  // namespace

std::shared_ptr<apiserver::Translator> NewPortForwardTranslator(const std::string& key) {
  return std::make_shared<PortForward>(key);
}

}  // namespace meltemi::kubelet
