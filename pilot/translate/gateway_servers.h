// Which servers of which Gateways a proxy opens, where, and what kind each is. Pure functions.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "pilot/snapshot/scope.h"
#include "pilot/translate/node.h"

namespace istio::networking::v1alpha3 {
class Server;
}

namespace meltemi::pilot {

namespace networking = ::istio::networking::v1alpha3;

// A server of a Gateway as this proxy opens it.
struct BoundServer {
  std::string gateway;  // "NS/NAME"
  std::string gateway_ns;
  const networking::Server* server = nullptr;  // owned by the Gateway in the snapshot
  uint32_t listen_port = 0;

  // "http.PORT" of all plaintext HTTP servers of a place, "https.PORT.PORT_NAME.GATEWAY.NS" of one
  // that terminates TLS; with ".BIND" behind it where it is bound to an address.
  std::string RouteName() const;
};

// Where a listener stands: address ("0.0.0.0" where none is given) and port.
using GatewayPlace = std::pair<std::string, uint32_t>;
// In order of creation. Where the gateway's own Service maps the server's port to another one, the
// proxy listens there (80 -> 8080).
std::map<GatewayPlace, std::vector<BoundServer>> GatewayServers(const ProxyNode& node,
                                                                const Scope& scope);

bool IsPlainHttp(const networking::Server& server);
bool RedirectsToHttps(const networking::Server& server);
bool IsPlainTcp(const networking::Server& server);
bool PassesTlsThrough(const networking::Server& server);
// TLS ends here, HTTP is in it.
bool IsHttps(const networking::Server& server);
// TLS ends here, bytes are in it.
bool IsTlsToTcp(const networking::Server& server);

// Whether the server takes in `host` of the VirtualService `rule`: its own hosts are "HOST" or
// "NS/HOST", where NS says whose VirtualServices may bind.
bool ServerTakes(const BoundServer& bound, const VirtualService& rule, const std::string& host);
bool ServerTakesAny(const BoundServer& bound, const VirtualService& rule);

}  // namespace meltemi::pilot
