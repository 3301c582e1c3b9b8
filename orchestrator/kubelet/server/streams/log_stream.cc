#include "orchestrator/kubelet/server/streams/log_stream.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "orchestrator/kubelet/server/streams/client_side.h"
#include "orchestrator/kubelet/server/streams/handshake.h"
#include "orchestrator/kubelet/server/streams/websocket.h"

namespace meltemi::kubelet {
namespace {

constexpr char kBinary[] = "binary.k8s.io";
constexpr char kBase64[] = "base64.binary.k8s.io";

class LogStream final : public apiserver::Translator {
 public:
  LogStream(std::string key, std::string protocol)
      : key_(std::move(key)), protocol_(std::move(protocol)) {}

  // There is no peer but the log.
  std::string PeerMethod() const override { return ""; }
  Fields PeerFields() const override { return {}; }
  kube::Result<Fields> OnUpgraded(const Fields&, Out&) override {
    return WebSocketAgreement(key_, protocol_);
  }

  void FromClient(Buffer& data, bool end, Out& out) override { client_.Receive(data, end, out); }
  void FromPeer(Buffer& data, bool end, Out& out) override {
    if (client_.over()) return data.Clear();
    if (!data.empty() && protocol_ == kBase64) {
      Buffer text(absl::Base64Escape(data.ToString()));
      data.Clear();
      AppendWebSocketText(text, out.to_client);
    } else if (!data.empty()) {
      AppendWebSocketMessage("", data, out.to_client);
    }
    if (end) client_.Finish(kWebSocketNormal, "", out);
  }

 private:
  const std::string key_, protocol_;
  ClientSide client_{[](Buffer& data, bool, bool, Out&) { data.Clear(); }};
};

}  // namespace

kube::Result<std::shared_ptr<apiserver::Translator>> NewLogTranslator(
    const apiserver::Request& request) {
  if (const kube::Outcome fine = CheckWebSocket(request); !fine.ok()) return fine.status();
  const std::vector<std::string> offered = OfferedProtocols(request);
  std::string protocol;
  for (const std::string& one : offered) {
    if (protocol.empty() && (one == kBinary || one == kBase64)) protocol = one;
  }
  if (protocol.empty() && !offered.empty()) {
    return kube::GenericStatus(403, "requested protocol(s) are not supported");
  }
  return std::shared_ptr<apiserver::Translator>(std::make_shared<LogStream>(
      std::string(request.Header("sec-websocket-key")), std::move(protocol)));
}

}  // namespace meltemi::kubelet
