#include "pilot/translate/filters.h"

#include <google/protobuf/struct.pb.h>

#include <cstdint>
#include <initializer_list>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "networking/alpn/v2alpha1/config.pb.h"
#include "pilot/translate/resource.h"
#include "pilot/translate/route_action.h"

namespace meltemi::pilot {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
namespace tcp = envoy::extensions::filters::network::tcp_proxy::v3;
using envoy::config::listener::v3::FilterChain;
using envoy::config::listener::v3::Listener;
using envoy::config::listener::v3::ListenerFilterChainMatchPredicate;

// Envoy's default fields under the names that Istio's JSON log gives them.
constexpr std::pair<const char*, const char*> kJsonFields[] = {
    {"authority", "%REQ(:AUTHORITY)%"},
    {"bytes_received", "%BYTES_RECEIVED%"},
    {"bytes_sent", "%BYTES_SENT%"},
    {"downstream_local_address", "%DOWNSTREAM_LOCAL_ADDRESS%"},
    {"downstream_remote_address", "%DOWNSTREAM_REMOTE_ADDRESS%"},
    {"duration", "%DURATION%"},
    {"method", "%REQ(:METHOD)%"},
    {"path", "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%"},
    {"protocol", "%PROTOCOL%"},
    {"request_id", "%REQ(X-REQUEST-ID)%"},
    {"response_code", "%RESPONSE_CODE%"},
    {"response_flags", "%RESPONSE_FLAGS%"},
    {"start_time", "%START_TIME%"},
    {"upstream_cluster", "%UPSTREAM_CLUSTER%"},
    {"upstream_host", "%UPSTREAM_HOST%"},
    {"user_agent", "%REQ(USER-AGENT)%"},
};

void FillAccessLog(const AccessLogSettings& log, envoy::config::accesslog::v3::AccessLog* out) {
  out->set_name("envoy.access_loggers.file");
  envoy::extensions::access_loggers::file::v3::FileAccessLog file;
  file.set_path(log.path);
  if (log.json) {
    google::protobuf::Struct* fields = file.mutable_log_format()->mutable_json_format();
    for (const auto& [name, value] : kJsonFields) {
      (*fields->mutable_fields())[name].set_string_value(value);
    }
  } else if (!log.format.empty()) {
    file.mutable_log_format()->mutable_text_format_source()->set_inline_string(log.format);
  }
  PackAny(file, out->mutable_typed_config());
}

void AddFilter(absl::string_view name, const google::protobuf::Message& config,
               hcm::HttpConnectionManager* manager) {
  hcm::HttpFilter* filter = manager->add_http_filters();
  filter->set_name(std::string(name));
  PackAny(config, filter->mutable_typed_config());
}

// HTTP over the mesh's TLS is told from other bytes by its ALPN. Envoy itself has no such filter:
// it passes over what is optional.
void AddAlpnFilter(hcm::HttpConnectionManager* manager) {
  using Config = istio::envoy::config::filter::http::alpn::v2alpha1::FilterConfig;
  Config config;
  const auto add = [&config](Config::Protocol protocol,
                             std::initializer_list<const char*> offered) {
    Config::AlpnOverride& entry = *config.add_alpn_override();
    entry.set_upstream_protocol(protocol);
    for (const char* name : offered) entry.add_alpn_override(name);
  };
  add(Config::HTTP10, {"istio-http/1.0", "istio", "http/1.0"});
  add(Config::HTTP11, {"istio-http/1.1", "istio", "http/1.1"});
  add(Config::HTTP2, {"istio-h2", "istio", "h2"});
  AddFilter("istio.alpn", config, manager);
  manager->mutable_http_filters(manager->http_filters_size() - 1)->set_is_optional(true);
}

// Who the client is, for the application and its log.
void TellClientCertificate(HttpRole role, hcm::HttpConnectionManager* manager) {
  if (!role.identity || role.side == HttpSide::kOutbound) return;
  const bool gateway = role.side == HttpSide::kGateway;
  manager->set_forward_client_cert_details(gateway ? hcm::HttpConnectionManager::SANITIZE_SET
                                                   : hcm::HttpConnectionManager::APPEND_FORWARD);
  auto& details = *manager->mutable_set_current_client_cert_details();
  details.mutable_subject()->set_value(true);
  details.set_dns(true);
  details.set_uri(true);
  details.set_cert(gateway);
}

// Ports by what their chains need; 0: of those without a port.
using PortSet = std::set<uint32_t>;

// From, to (exclusive).
using PortRanges = std::vector<std::pair<uint32_t, uint32_t>>;

PortRanges AllBut(const PortSet& ports) {
  PortRanges ranges;
  uint32_t from = 0;
  for (const uint32_t port : ports) {
    if (port > from) ranges.emplace_back(from, port);
    from = port + 1;
  }
  ranges.emplace_back(from, 65536);
  return ranges;
}

void MatchPorts(const PortRanges& ranges, ListenerFilterChainMatchPredicate* predicate) {
  const auto set_range = [](const auto& range, ListenerFilterChainMatchPredicate* one) {
    one->mutable_destination_port_range()->set_start(static_cast<int32_t>(range.first));
    one->mutable_destination_port_range()->set_end(static_cast<int32_t>(range.second));
  };
  if (ranges.size() == 1) return set_range(ranges[0], predicate);
  for (const auto& range : ranges) {  // Envoy wants two or more in an or_match
    set_range(range, predicate->mutable_or_match()->add_rules());
  }
}

// An inspector that looks at `wanted` of the ports `all`. Where it looks at whatever has no chain
// of its own port, the others are excepted; else it is off but for those wanted.
void AddInspector(absl::string_view name, const google::protobuf::Message& config,
                  const PortSet& wanted, const PortSet& all, Listener* listener) {
  auto* filter = listener->add_listener_filters();
  filter->set_name(std::string(name));
  PackAny(config, filter->mutable_typed_config());
  PortRanges off;
  if (!wanted.contains(0)) {
    off = AllBut(wanted);
  } else {
    for (const uint32_t port : all) {
      if (!wanted.contains(port)) off.emplace_back(port, port + 1);
    }
  }
  if (!off.empty()) MatchPorts(off, filter->mutable_filter_disabled());
}

}  // namespace

AccessLogSettings AccessLogSettings::For(const MeshSettings& mesh, const std::string& node_path) {
  AccessLogSettings log{mesh.access_log_path, mesh.access_log_format, mesh.access_log_json};
  if (!node_path.empty()) log.path = node_path;
  return log;
}

void FillHttpManager(absl::string_view stat_prefix, const AccessLogSettings& log, HttpRole role,
                     hcm::HttpConnectionManager* out) {
  const bool proxyless = role.side == HttpSide::kProxyless;
  const bool upstream_tls = role.identity && role.side != HttpSide::kInbound && !proxyless;
  out->set_stat_prefix(std::string(stat_prefix));
  if (upstream_tls) AddAlpnFilter(out);
  if (!proxyless) {
    AddFilter(kCorsFilter, envoy::extensions::filters::http::cors::v3::Cors(), out);
  }
  AddFilter(kFaultFilter, envoy::extensions::filters::http::fault::v3::HTTPFault(), out);
  AddFilter(kRouterFilter, envoy::extensions::filters::http::router::v3::Router(), out);
  if (proxyless) return;
  out->mutable_http_protocol_options()->set_accept_http_10(true);
  out->mutable_stream_idle_timeout();  // 0: none, as in Istio
  // A gateway is the edge: what clients claim about themselves is not believed.
  out->mutable_use_remote_address()->set_value(role.side == HttpSide::kGateway);
  out->mutable_normalize_path()->set_value(true);
  out->set_path_with_escaped_slashes_action(hcm::HttpConnectionManager::KEEP_UNCHANGED);
  out->add_upgrade_configs()->set_upgrade_type("websocket");
  TellClientCertificate(role, out);
  if (!log.path.empty()) FillAccessLog(log, out->add_access_log());
}

void UseRds(absl::string_view route_name, hcm::HttpConnectionManager* out) {
  auto& rds = *out->mutable_rds();
  rds.set_route_config_name(std::string(route_name));
  rds.mutable_config_source()->mutable_ads();
  rds.mutable_config_source()->set_resource_api_version(envoy::config::core::v3::V3);
  rds.mutable_config_source()->mutable_initial_fetch_timeout();  // 0: wait for it
}

void AddHttpFilter(const hcm::HttpConnectionManager& manager, FilterChain* chain) {
  auto* filter = chain->add_filters();
  filter->set_name("envoy.filters.network.http_connection_manager");
  PackAny(manager, filter->mutable_typed_config());
}

void AddTcpFilter(const tcp::TcpProxy& proxy, FilterChain* chain) {
  auto* filter = chain->add_filters();
  filter->set_name("envoy.filters.network.tcp_proxy");
  PackAny(proxy, filter->mutable_typed_config());
}

void AddAccessLog(const AccessLogSettings& log, tcp::TcpProxy* proxy) {
  if (!log.path.empty()) FillAccessLog(log, proxy->add_access_log());
}

void AddTcpProxy(absl::string_view cluster, const AccessLogSettings& log, FilterChain* chain) {
  tcp::TcpProxy proxy;
  proxy.set_stat_prefix(std::string(cluster));
  proxy.set_cluster(std::string(cluster));
  AddAccessLog(log, &proxy);
  AddTcpFilter(proxy, chain);
}

void MatchHttp(envoy::config::listener::v3::FilterChainMatch* match) {
  for (const char* protocol : {"http/1.0", "http/1.1", "h2c"}) {
    match->add_application_protocols(protocol);
  }
}

void AddInspectors(const MeshSettings& mesh, Listener* listener) {
  PortSet needs_tls;
  PortSet needs_http;
  PortSet all;
  const auto inspect = [&](const FilterChain& chain) {
    const auto& match = chain.filter_chain_match();
    const uint32_t port = match.destination_port().value();
    all.insert(port);
    if (match.transport_protocol() == "tls" || !match.server_names().empty() ||
        chain.has_transport_socket()) {
      needs_tls.insert(port);
    }
    for (const std::string& protocol : match.application_protocols()) {
      if (protocol == "http/1.1" || protocol == "h2c") needs_http.insert(port);
    }
  };
  for (const FilterChain& chain : listener->filter_chains()) inspect(chain);
  all.insert(0);
  // The TLS inspector goes first: what is TLS is not looked at for HTTP.
  if (!needs_tls.empty()) {
    AddInspector("envoy.filters.listener.tls_inspector",
                 envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector(), needs_tls,
                 all, listener);
  }
  if (!needs_http.empty()) {
    AddInspector("envoy.filters.listener.http_inspector",
                 envoy::extensions::filters::listener::http_inspector::v3::HttpInspector(),
                 needs_http, all, listener);
  }
  if (needs_tls.empty() && needs_http.empty()) return;
  const uint32_t millis = mesh.protocol_detection_timeout_ms;
  auto& timeout = *listener->mutable_listener_filters_timeout();
  timeout.set_seconds(millis / 1000);
  timeout.set_nanos(static_cast<int32_t>(millis % 1000) * 1'000'000);
  listener->set_continue_on_listener_filters_timeout(true);
}

void AddOriginalDestination(Listener* listener) {
  auto* filter = listener->add_listener_filters();
  filter->set_name("envoy.filters.listener.original_dst");
  PackAny(envoy::extensions::filters::listener::original_dst::v3::OriginalDst(),
          filter->mutable_typed_config());
}

void SetAddress(absl::string_view address, uint32_t port, Listener* listener) {
  auto& socket = *listener->mutable_address()->mutable_socket_address();
  socket.set_address(std::string(address));
  socket.set_port_value(port);
}

}  // namespace meltemi::pilot
