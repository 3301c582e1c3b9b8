// The application protocol of a service port, and how it is found from what a manifest says.
// Pure functions; any thread.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace meltemi::pilot {

enum class Protocol : uint8_t {
  kSniffed,  // nothing declared: the proxy looks at the first bytes
  kHttp,
  kHttp2,
  kGrpc,
  kGrpcWeb,
  kTcp,
  kTls,
  kHttps,
  kMongo,
  kMysql,
  kRedis,
  kUdp,
};

// The protocol of a Kubernetes Service port, by Istio's rules: UDP and SCTP ports are not
// proxied; then `app_protocol`; then the first dash-separated word of `port_name`; then the ports
// of well-known server-first protocols (25, 53, 3306, 27017) are TCP; otherwise sniffed.
Protocol DetectProtocol(absl::string_view transport, absl::string_view app_protocol,
                        absl::string_view port_name, uint32_t port);

// The protocol that a ServiceEntry or Gateway names outright ("HTTP", "GRPC", "TLS", …).
// An unknown or empty word gives kSniffed.
Protocol ParseProtocol(absl::string_view word);

absl::string_view ProtocolName(Protocol protocol);

// True for protocols whose requests are routed (HTTP and what rides on it in clear text).
bool IsHttp(Protocol protocol);
bool IsSniffed(Protocol protocol);
// True where the upstream speaks HTTP/2 with prior knowledge.
bool IsHttp2(Protocol protocol);
// True for what is carried as opaque bytes.
bool IsTcp(Protocol protocol);

}  // namespace meltemi::pilot
