#include "test/interop/tls/sidecars.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/substitute.h"

namespace meltemi::tls_interop {
namespace {

using absl::StrCat;
using absl::Substitute;

std::string Inline(const std::string& pem) {
  return StrCat(R"({"inline_string": ")", absl::StrReplaceAll(pem, {{"\n", "\\n"}}), R"("})");
}

std::string Type(const char* extension) {
  return Substitute(R"("@type": "type.googleapis.com/envoy.extensions.$0")", extension);
}

std::string Address(int port) {
  return Substitute(R"({"socket_address": {"address": "127.0.0.1", "port_value": $0}})", port);
}

// What both kinds of TLS context have in common.
std::string CommonContext(const Sidecar& sidecar, const std::string& alpn) {
  const char* version = sidecar.tls13 ? "TLSv1_3" : "TLSv1_2";
  return Substitute(R"("common_tls_context": {
      "tls_params": {"tls_minimum_protocol_version": "$0", "tls_maximum_protocol_version": "$0"},
      "tls_certificates": [{"certificate_chain": $1, "private_key": $2}],
      "validation_context": {
        "trusted_ca": $3,
        "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": "$4"}}]
      },
      "alpn_protocols": [$5]
    })",
                    version, Inline(sidecar.own.certificate_chain_pem),
                    Inline(sidecar.own.private_key_pem), Inline(sidecar.roots_pem),
                    sidecar.peer_name, alpn);
}

std::string Log(const std::string& path, const std::string& format) {
  return Substitute(R"([{"name": "envoy.access_loggers.file", "typed_config": {
      "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
      "path": "$0", "log_format": {"text_format_source": {"inline_string": "$1\n"}}}}])",
                    path, format);
}

// `route`: the action of the only route.
std::string Manager(const Sidecar& sidecar, const std::string& format, const std::string& route) {
  return Substitute(R"({"name": "envoy.filters.network.http_connection_manager", "typed_config": {
      $2, "stat_prefix": "http", "access_log": $0,
      "route_config": {"name": "all", "virtual_hosts": [{"name": "all", "domains": ["*"],
        "routes": [{"match": {"prefix": "/"}, $1}]}]},
      "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]
    }})",
                    Log(sidecar.log_path, format), route,
                    Type("filters.network.http_connection_manager.v3.HttpConnectionManager"));
}

std::string Bootstrap(const Sidecar& sidecar, const std::string& listener,
                      const std::string& clusters) {
  return Substitute(R"({
    "node": {"id": "tls-interop", "cluster": "test"},
    "admin": {"address": $0},
    "static_resources": {"listeners": [$1], "clusters": [$2]}
  })",
                    Address(sidecar.admin_port), listener, clusters);
}

std::string ServerChain(const Sidecar& sidecar, const std::string& match,
                        const std::string& answer) {
  constexpr char kFormat[] =
      "%RESPONSE_CODE% %PROTOCOL% %DOWNSTREAM_TLS_VERSION% %DOWNSTREAM_PEER_URI_SAN% "
      "%DOWNSTREAM_LOCAL_URI_SAN% %REQUESTED_SERVER_NAME%";
  return Substitute(
      R"({
      "filter_chain_match": {"transport_protocol": "tls"$0},
      "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
        $3, "require_client_certificate": true, $1}},
      "filters": [$2]
    })",
      match, CommonContext(sidecar, R"("h2", "http/1.1")"),
      Manager(sidecar, kFormat,
              StrCat(R"("direct_response": {"status": 200, "body": {"inline_string": ")", answer,
                     R"("}})")),
      Type("transport_sockets.tls.v3.DownstreamTlsContext"));
}

}  // namespace

std::string ServerSidecar(const Sidecar& sidecar) {
  constexpr char kMesh[] =
      R"(, "application_protocols": ["istio-http/1.0", "istio-http/1.1", "istio-h2"])";
  return Bootstrap(sidecar,
                   Substitute(R"({
      "name": "in", "address": $0,
      "listener_filters": [{"name": "envoy.filters.listener.tls_inspector", "typed_config": {
        $3}}],
      "filter_chains": [$1, $2]
    })",
                              Address(sidecar.port), ServerChain(sidecar, kMesh, "mesh"),
                              ServerChain(sidecar, "", "not mesh"),
                              Type("filters.listener.tls_inspector.v3.TlsInspector")),
                   "");
}

std::string ClientSidecar(const Sidecar& sidecar) {
  const std::string listener = Substitute(
      R"({"name": "out", "address": $0, "filter_chains": [{"filters": [$1]}]})",
      Address(sidecar.port),
      Manager(sidecar, "%RESPONSE_CODE% %RESPONSE_FLAGS%", R"("route": {"cluster": "server"})"));
  const std::string cluster = Substitute(
      R"({
      "name": "server", "type": "STATIC", "connect_timeout": "5s",
      "load_assignment": {"cluster_name": "server", "endpoints": [{"lb_endpoints": [
        {"endpoint": {"address": $0}}]}]},
      "typed_extension_protocol_options": {
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        $4,
        "common_http_protocol_options": {"max_requests_per_connection": 1},
        "explicit_http_config": {"$1": {}}}},
      "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
        $5, "sni": "$2", $3}}
    })",
      Address(sidecar.upstream_port),
      sidecar.http2 ? "http2_protocol_options" : "http_protocol_options", kSni,
      CommonContext(sidecar, sidecar.http2 ? R"("istio-h2", "istio", "h2")"
                                           : R"("istio-http/1.1", "istio", "http/1.1")"),
      Type("upstreams.http.v3.HttpProtocolOptions"),
      Type("transport_sockets.tls.v3.UpstreamTlsContext"));
  return Bootstrap(sidecar, listener, cluster);
}

}  // namespace meltemi::tls_interop
