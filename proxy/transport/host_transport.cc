#include "proxy/transport/host_transport.h"

#include <algorithm>

#include "proxy/transport/failed_connection.h"
#include "proxy/transport/tls_info.h"
#include "proxy/transport/tls_socket.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/pool/connector.h"

namespace meltemi::proxy {
namespace {

constexpr absl::string_view kTlsMode = "tlsMode";
constexpr absl::string_view kIstio = "istio";
// Envoy's words.
constexpr absl::string_view kNoSecret = "TLS error: Secret is not supplied by SDS";

bool Has(const EndpointConfig& endpoint, const std::pair<std::string, std::string>& label) {
  if (endpoint.mtls && label.first == kTlsMode) return label.second == kIstio;
  return std::find(endpoint.transport_labels.begin(), endpoint.transport_labels.end(), label) !=
         endpoint.transport_labels.end();
}

std::vector<std::string> FallbackAlpn(const TransportNeeds& needs) {
  if (!needs.protocol.has_value()) return {};
  if (needs.by_alpn) return {"h2", "http/1.1"};
  return {needs.protocol == http::Protocol::kHttp2 ? "h2" : "http/1.1"};
}

TlsChoice ChoiceOf(const TransportNeeds& needs) {
  TlsChoice choice;
  choice.server_name = needs.server_name;
  choice.exact_name = needs.exact_name;
  choice.fallback_alpn = FallbackAlpn(needs);
  if (needs.by_alpn) {
    // What decides the codec can't be left to a list that was made for another purpose.
    choice.alpn = choice.fallback_alpn;
  } else if (needs.alpn != nullptr && needs.protocol.has_value()) {
    choice.alpn = needs.protocol == http::Protocol::kHttp2    ? needs.alpn->http2
                  : needs.protocol == http::Protocol::kHttp10 ? needs.alpn->http10
                                                              : needs.alpn->http11;
  }
  return choice;
}

}  // namespace

bool ClusterTransport::ready() const {
  const auto good = [](const TlsSocket* socket) { return socket == nullptr || socket->ready(); };
  return good(tls.get()) && std::all_of(matches.begin(), matches.end(),
                                        [&](const auto& match) { return good(match.tls.get()); });
}

const TlsSocket* TlsSocketFor(const ClusterConfig& cluster, const EndpointConfig& endpoint) {
  if (cluster.transport == nullptr) return nullptr;
  for (const TransportMatch& match : cluster.transport->matches) {
    const bool fits = std::all_of(match.labels.begin(), match.labels.end(),
                                  [&](const auto& label) { return Has(endpoint, label); });
    if (fits) return match.tls.get();
  }
  return cluster.transport->tls.get();
}

std::shared_ptr<const TlsInfo> HostConnection::ReadInfo() const {
  return tls == nullptr ? nullptr : ReadTlsInfo(*tls, state->own);
}

HostConnection ConnectHost(Loop& loop, const Connector& connector, const ClusterConfig& cluster,
                           const EndpointConfig& endpoint, const net::Address& to,
                           const net::ConnectionLimits& limits, const TransportNeeds& needs) {
  // A source of the other family can't be meant for this host.
  const bool bind = cluster.bind_source.set() && cluster.bind_source.family() == to.family();
  const net::Address source = bind ? cluster.bind_source : net::Address();
  HostConnection host;
  const TlsSocket* const socket = TlsSocketFor(cluster, endpoint);
  if (socket == nullptr) {
    host.connection = connector.Connect(loop, to, source, limits);
    return host;
  }
  if (!socket->ready()) {
    host.connection = NewFailedConnection(loop, to, kNoSecret);
    host.not_ready = true;
    return host;
  }
  std::unique_ptr<net::Connection> raw = connector.Connect(loop, to, source, limits);
  TlsSocket::Secured secured = socket->Connect(loop, raw, limits, ChoiceOf(needs));
  host.tls = secured.connection.get();
  host.state = std::move(secured.state);
  host.connection = std::move(secured.connection);
  return host;
}

}  // namespace meltemi::proxy
