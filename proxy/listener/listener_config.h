// Listeners and connection managers as configured: immutable, compiled from LDS, free of protobuf.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "base/http/codec.h"
#include "base/net/address.h"
#include "proxy/route/policies.h"

namespace meltemi::proxy {

class AccessLog;            // proxy/observe/access_log.h
struct AlpnOverride;        // proxy/transport/host_transport.h
class FilterConfig;         // proxy/filters/filter.h
class NetworkFilterConfig;  // proxy/filters/network_filter.h
class RouteTable;
class TlsSocket;  // proxy/transport/tls_socket.h

// One HTTP filter in the chain, in order; the router at the end is implied.
struct HttpFilterConfig {
  std::string name;  // as configured: "envoy.filters.http.fault"
  std::shared_ptr<const FilterConfig> config;
};

enum class ServerHeader : uint8_t { kOverwrite, kAppendIfAbsent, kPassThrough };
// x-forwarded-client-cert, by Envoy's words.
enum class ForwardClientCert : uint8_t {
  kSanitize,
  kForwardOnly,
  kAppendForward,
  kSanitizeSet,
  kAlwaysForwardOnly
};
enum class PathEscapedSlashes : uint8_t { kKeep, kReject, kUnescapeRedirect, kUnescapeForward };

// envoy.filters.network.http_connection_manager
struct HttpConfig {
  std::string stat_prefix;
  enum class Codec : uint8_t { kAuto, kHttp1, kHttp2 } codec = Codec::kAuto;
  // Exactly one: the table itself, or the name of the RDS resource.
  std::shared_ptr<const RouteTable> inline_routes;
  std::string rds_name;
  std::vector<HttpFilterConfig> filters;
  std::vector<std::shared_ptr<const AccessLog>> access_logs;

  http::Http1Limits http1;
  http::Http2Limits http2;
  Duration idle_timeout = minutes(60);  // of a connection without streams; 0: none
  std::optional<Duration> connection_duration_max;
  Duration stream_idle_timeout = minutes(5);  // 0: none
  Duration request_timeout{0};                // to receive the whole request
  Duration request_headers_timeout{0};
  std::optional<Duration> max_stream_duration;
  Duration drain_timeout = seconds(5);
  Duration delayed_close_timeout = seconds(1);
  uint32_t requests_per_connection_max = 0;
  std::string server_name = "istio-envoy";
  ServerHeader server_header = ServerHeader::kOverwrite;
  bool use_remote_address = false;
  bool skip_xff_append = false;
  uint32_t xff_trusted_hops = 0;
  std::optional<std::vector<net::Cidr>> internal_ranges;  // unset: private ranges and loopback
  bool generate_request_id = true;
  bool preserve_external_request_id = false;
  bool always_set_request_id_in_response = false;
  std::vector<std::string> upgrades;  // lower case words allowed for all routes
  std::string via;
  bool normalize_path = false;
  bool merge_slashes = false;
  PathEscapedSlashes escaped_slashes = PathEscapedSlashes::kKeep;
  bool strip_any_port = false, strip_matching_port = false;
  bool stream_error_on_invalid_message = false;
  bool proxy_100_continue = false;
  ForwardClientCert forward_client_cert = ForwardClientCert::kSanitize;
  // What kAppendForward and kSanitizeSet say of the client's certificate beside By and Hash.
  bool client_cert_pem = false, client_cert_chain = false, client_cert_subject = false;
  bool client_cert_uri = false, client_cert_dns = false;
  // ALPN towards upstreams; null: the clusters'.
  std::shared_ptr<const AlpnOverride> upstream_alpn;
  bool suppress_envoy_headers = false;  // the router's: no x-envoy-* is added
  bool inbound = false;                 // listener's traffic direction, for statistics
};

// envoy.filters.network.tcp_proxy
struct TcpProxyConfig {
  std::string stat_prefix;
  struct Target {
    std::string cluster;
    uint32_t weight = 1;
  };
  std::vector<Target> targets;  // at least one
  uint32_t weight_total = 1;
  std::vector<HashPolicy> hash;         // source IP only
  Duration idle_timeout = minutes(60);  // 0: none
  std::optional<Duration> connection_duration_max;
  uint32_t connect_attempts_max = 1;
  std::vector<std::shared_ptr<const AccessLog>> access_logs;
  bool inbound = false;
};

struct FilterChainMatch {
  std::optional<uint16_t> destination_port;
  std::vector<net::Cidr> prefix_ranges;
  std::vector<std::string> server_names;           // exact or "*.suffix"
  std::string transport_protocol;                  // "", "raw_buffer", "tls"
  std::vector<std::string> application_protocols;  // "http/1.0", "http/1.1", "h2c", ALPN
  std::vector<net::Cidr> direct_source_ranges, source_ranges;
  std::vector<uint16_t> source_ports;
  bool source_local_only = false, source_external_only = false;
};

struct FilterChain {
  std::string name;
  FilterChainMatch match;
  // Judge a connection before the chain takes it, in order. Mostly empty.
  std::vector<std::shared_ptr<const NetworkFilterConfig>> network_filters;
  // Exactly one.
  std::shared_ptr<const HttpConfig> http;
  std::shared_ptr<const TcpProxyConfig> tcp;
  std::shared_ptr<const TlsSocket> tls;   // null: plaintext
  Duration transport_connect_timeout{0};  // for the handshake; 0: the default
  // Equal ones are the same chain: an update leaves its connections alone.
  uint64_t fingerprint = 0;
};

struct ListenerConfig {
  std::string name;
  net::Address address;
  std::vector<net::Address> additional_addresses;
  bool bind_to_port = true;
  bool use_original_dst = false;  // hand the connection to the listener of its original destination
  bool original_dst_filter = false;  // take the original destination from SO_ORIGINAL_DST
  bool http_inspector = false;       // sniff HTTP/1 and HTTP/2
  bool tls_inspector = false;        // sniff TLS and its SNI
  // Ports for which a sniffer is off (filter_disabled destination_port_range).
  std::vector<std::pair<uint16_t, uint16_t>> http_inspector_off, tls_inspector_off;  // [from, to)
  Duration sniff_timeout = seconds(15);  // 0: wait for ever
  bool continue_on_sniff_timeout = false;
  bool transparent = false;
  bool reuse_port = true;
  uint32_t buffer_bytes_max = 1024 * 1024;
  uint32_t backlog = 4096;
  std::vector<FilterChain> filter_chains;
  std::optional<FilterChain> default_chain;
  std::vector<std::shared_ptr<const AccessLog>> access_logs;
  bool inbound = false;
  uint64_t fingerprint = 0;
};

}  // namespace meltemi::proxy
