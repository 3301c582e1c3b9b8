// The network filters that listeners are made of: HTTP connection managers, TCP proxies, access
// logs, inspectors. Pure functions.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "pilot/snapshot/snapshot.h"

namespace envoy::config::listener::v3 {
class Filter;
class FilterChain;
class FilterChainMatch;
class Listener;
}  // namespace envoy::config::listener::v3
namespace envoy::config::route::v3 {
class RouteConfiguration;
}
namespace envoy::extensions::filters::network::http_connection_manager::v3 {
class HttpConnectionManager;
}
namespace envoy::extensions::filters::network::tcp_proxy::v3 {
class TcpProxy;
}

namespace meltemi::pilot {

// Where and how a proxy logs; an empty path: not at all.
struct AccessLogSettings {
  std::string path;
  std::string format;
  bool json = false;

  static AccessLogSettings For(const MeshSettings& mesh, const std::string& node_path);
};

enum class HttpSide : uint8_t { kOutbound, kInbound, kGateway, kProxyless };

// Where a connection manager stands.
struct HttpRole {
  HttpSide side = HttpSide::kOutbound;
  bool identity = false;  // the proxy has a certificate of the mesh
};

// A connection manager with CORS, fault and router filters; for proxyless clients only with what
// gRPC understands. With an identity it says who the client is (inbound, gateways) and offers the
// mesh's ALPN (outbound, gateways).
void FillHttpManager(
    absl::string_view stat_prefix, const AccessLogSettings& log, HttpRole role,
    envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager* out);
void UseRds(
    absl::string_view route_name,
    envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager* out);

void AddHttpFilter(
    const envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager&
        manager,
    envoy::config::listener::v3::FilterChain* chain);
void AddTcpFilter(const envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy& proxy,
                  envoy::config::listener::v3::FilterChain* chain);
// A TCP proxy to one cluster.
void AddTcpProxy(absl::string_view cluster, const AccessLogSettings& log,
                 envoy::config::listener::v3::FilterChain* chain);
void AddAccessLog(const AccessLogSettings& log,
                  envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy* proxy);

// The chain is for clear-text HTTP, as the inspector recognises it.
void MatchHttp(envoy::config::listener::v3::FilterChainMatch* match);

// Adds the TLS and HTTP inspectors that the listener's chains need, on the ports that need them.
// The time-out is the mesh's.
void AddInspectors(const MeshSettings& mesh, envoy::config::listener::v3::Listener* listener);
void AddOriginalDestination(envoy::config::listener::v3::Listener* listener);

void SetAddress(absl::string_view address, uint32_t port,
                envoy::config::listener::v3::Listener* listener);

}  // namespace meltemi::pilot
