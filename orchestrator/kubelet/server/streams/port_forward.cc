#include "orchestrator/kubelet/server/streams/port_forward.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/kubelet/server/streams/client_side.h"
#include "orchestrator/kubelet/server/streams/handshake.h"
#include "orchestrator/kubelet/server/streams/websocket.h"

namespace meltemi::kubelet {
namespace {

class PortForward final : public apiserver::Translator {
 public:
  explicit PortForward(std::string key) : key_(std::move(key)) {}

  std::string PeerMethod() const override { return "POST"; }
  Fields PeerFields() const override { return SpdyRequest(kPortForward); }
  kube::Result<Fields> OnUpgraded(const Fields& peer, Out& out) override {
    const kube::Result<std::string> version = SpdyVersion(peer);
    if (!version.ok()) return version.status();
    return WebSocketAgreement(key_, absl::StrCat(kTunnelPrefix, *version));
  }

  void FromClient(Buffer& data, bool end, Out& out) override { client_.Receive(data, end, out); }
  void FromPeer(Buffer& data, bool end, Out& out) override {
    if (client_.over()) return data.Clear();
    if (!data.empty()) AppendWebSocketMessage("", data, out.to_client);
    if (end) client_.Finish(kWebSocketNormal, "", out);
  }

 private:
  const std::string key_;
  ClientSide client_{[](Buffer& data, bool, bool, Out& out) { out.to_peer.MoveFrom(data); }};
};

}  // namespace

std::shared_ptr<apiserver::Translator> NewPortForwardTranslator(const std::string& key) {
  return std::make_shared<PortForward>(key);
}

}  // namespace meltemi::kubelet
