// Which protocol a client that upgrades wants to speak, and the fields of the agreement.
//
// Threads: functions without state. Source: RFC 6455 4.2; k8s.io/apimachinery's remotecommand and
// portforward constants.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/http/translator.h"

namespace meltemi::kubelet {

inline constexpr char kRemoteCommandV4[] = "v4.channel.k8s.io";
inline constexpr char kRemoteCommandV5[] = "v5.channel.k8s.io";
inline constexpr char kPortForward[] = "portforward.k8s.io";
inline constexpr char kTunnelPrefix[] = "SPDY/3.1+";

// "Connection: Upgrade" with "Upgrade: websocket".
bool IsWebSocket(const apiserver::Request& request);
// What Sec-WebSocket-Protocol offers, in order.
std::vector<std::string> OfferedProtocols(const apiserver::Request& request);
// BadRequest: the handshake lacks something.
kube::Outcome CheckWebSocket(const apiserver::Request& request);

// Of the client's 101. `protocol` "": none was asked for.
apiserver::Translator::Fields WebSocketAgreement(absl::string_view key, absl::string_view protocol);
// Of the request to a runtime.
apiserver::Translator::Fields SpdyRequest(absl::string_view version);
// The version that the runtime has chosen. Error: it did not agree to SPDY/3.1.
kube::Result<std::string> SpdyVersion(const apiserver::Translator::Fields& agreement);

}  // namespace meltemi::kubelet
