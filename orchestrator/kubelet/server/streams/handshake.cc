#include "orchestrator/kubelet/server/streams/handshake.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "orchestrator/kubelet/server/streams/websocket.h"

namespace meltemi::kubelet {

using apiserver::Request;
using Fields = apiserver::Translator::Fields;

bool IsWebSocket(const Request& request) {
  return absl::EqualsIgnoreCase(request.Header("upgrade"), "websocket");
}

std::vector<std::string> OfferedProtocols(const Request& request) {
  std::vector<std::string> out;
  for (absl::string_view one :
       absl::StrSplit(request.Header("sec-websocket-protocol"), ',', absl::SkipWhitespace())) {
    out.emplace_back(absl::StripAsciiWhitespace(one));
  }
  return out;
}

kube::Outcome CheckWebSocket(const Request& request) {
  if (request.method != "GET") {
    return kube::BadRequest(
        "websocket: the client is not using the websocket protocol: request "
        "method is not GET");
  }
  if (request.Header("sec-websocket-version") != "13") {
    return kube::BadRequest(
        "websocket: unsupported version: 13 not found in "
        "'Sec-Websocket-Version' header");
  }
  if (request.Header("sec-websocket-key").size() != 24) {
    return kube::BadRequest(
        "websocket: not a websocket handshake: 'Sec-WebSocket-Key' header must "
        "be Base64 encoded value of 16-byte in length");
  }
  return kube::Done{};
}

Fields WebSocketAgreement(absl::string_view key, absl::string_view protocol) {
  Fields out = {{"upgrade", "websocket"}, {"sec-websocket-accept", WebSocketAccept(key)}};
  if (!protocol.empty()) out.emplace_back("sec-websocket-protocol", protocol);
  return out;
}

Fields SpdyRequest(absl::string_view version) {
  return {{"upgrade", "SPDY/3.1"}, {"x-stream-protocol-version", std::string(version)}};
}

kube::Result<std::string> SpdyVersion(const Fields& agreement) {
  bool agreed = false;
  std::string version;
  for (const auto& [name, value] : agreement) {
    agreed |= name == "upgrade" && absl::EqualsIgnoreCase(value, "SPDY/3.1");
    if (name == "x-stream-protocol-version") version = value;
  }
  if (agreed) return version;
  return kube::InternalError("unable to upgrade: missing upgrade headers in response");
}

}  // namespace meltemi::kubelet
