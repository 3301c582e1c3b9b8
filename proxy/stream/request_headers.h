// What the proxy checks and changes in a request's headers before a route is looked for: the rules
// of Envoy's connection manager. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/http/header_map.h"
#include "base/net/address.h"
#include "base/random/random.h"
#include "proxy/listener/listener_config.h"

namespace meltemi::proxy {

struct StreamInfo;

struct RequestFault {
  int status = 0;             // 0: the request is well formed
  absl::string_view details;  // static
  std::string location;       // with 307
};

// Authority, path and method as RFC 9110/9112/9113 want them; normalises the path in place.
RequestFault CheckRequest(const HttpConfig& config, http::HeaderMap& request);

// Of a connection's client certificate.
struct ForwardedCert {
  bool presented = false;
  absl::string_view text;  // what x-forwarded-client-cert gets; outlives the request
};

// Scheme, x-forwarded-for and -proto, x-envoy-internal, what only internal callers may ask for,
// x-request-id, via, Host's port. Sets info.downstream_remote (the client as x-forwarded-for and
// use_remote_address tell). `forwarded_as` is what x-forwarded-for gets: the peer's address, or the
// listener's for a peer on loopback.
void PrepareRequest(const HttpConfig& config, bool tls, absl::string_view forwarded_as,
                    http::HeaderMap& request, StreamInfo& info, Random& random,
                    const ForwardedCert& cert = {});

// RFC 1918 and 4193 ranges and loopback.
bool IsInternalAddress(const net::Address& address);

// "websocket" for an upgrade (HTTP/1.1 Upgrade, or RFC 8441), "connect" for CONNECT, "" for the
// rest; lower case.
std::string UpgradeType(const http::HeaderMap& request);

// A random RFC 9562 UUID, version 4, 36 bytes.
void WriteUuid(Random& random, char* to);

}  // namespace meltemi::proxy
