#include "pilot/model/protocol.h"

#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"

namespace meltemi::pilot {
namespace {

struct NamedProtocol {
  absl::string_view name;
  Protocol protocol;
};

constexpr NamedProtocol kNames[] = {
    {"http", Protocol::kHttp},        {"http2", Protocol::kHttp2}, {"grpc", Protocol::kGrpc},
    {"grpc-web", Protocol::kGrpcWeb}, {"tcp", Protocol::kTcp},     {"tls", Protocol::kTls},
    {"https", Protocol::kHttps},      {"mongo", Protocol::kMongo}, {"mysql", Protocol::kMysql},
    {"redis", Protocol::kRedis},      {"udp", Protocol::kUdp},
};

bool IsServerFirstPort(uint32_t port) {
  return port == 25 || port == 53 || port == 3306 || port == 27017;
}

}  // namespace

Protocol ParseProtocol(absl::string_view word) {
  for (const NamedProtocol& entry : kNames) {
    if (absl::EqualsIgnoreCase(word, entry.name)) return entry.protocol;
  }
  // Kubernetes' own names for appProtocol.
  if (word == "kubernetes.io/h2c") return Protocol::kHttp2;
  if (word == "kubernetes.io/ws") return Protocol::kHttp;
  if (word == "kubernetes.io/wss") return Protocol::kHttps;
  return Protocol::kSniffed;
}

Protocol DetectProtocol(absl::string_view transport, absl::string_view app_protocol,
                        absl::string_view port_name, uint32_t port) {
  if (absl::EqualsIgnoreCase(transport, "UDP") || absl::EqualsIgnoreCase(transport, "SCTP")) {
    return Protocol::kUdp;
  }
  if (!app_protocol.empty()) {
    const Protocol declared = ParseProtocol(app_protocol);
    if (declared != Protocol::kSniffed) return declared;
  }
  if (absl::EqualsIgnoreCase(port_name, "grpc-web") ||
      absl::StartsWithIgnoreCase(port_name, "grpc-web-")) {
    return Protocol::kGrpcWeb;
  }
  const Protocol named = ParseProtocol(port_name.substr(0, port_name.find('-')));
  // A TCP port may be called "udp-…" by mistake; the transport decides.
  if (named != Protocol::kSniffed && named != Protocol::kUdp) return named;
  return IsServerFirstPort(port) ? Protocol::kTcp : Protocol::kSniffed;
}

absl::string_view ProtocolName(Protocol protocol) {
  for (const NamedProtocol& entry : kNames) {
    if (entry.protocol == protocol) return entry.name;
  }
  return "undeclared";
}

bool IsHttp(Protocol protocol) {
  return protocol == Protocol::kHttp || protocol == Protocol::kHttp2 ||
         protocol == Protocol::kGrpc || protocol == Protocol::kGrpcWeb;
}

bool IsSniffed(Protocol protocol) { return protocol == Protocol::kSniffed; }

bool IsHttp2(Protocol protocol) {
  return protocol == Protocol::kHttp2 || protocol == Protocol::kGrpc ||
         protocol == Protocol::kGrpcWeb;
}

bool IsTcp(Protocol protocol) {
  return !IsHttp(protocol) && !IsSniffed(protocol) && protocol != Protocol::kUdp;
}

}  // namespace meltemi::pilot
