#include <algorithm>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "proxy/config/compile/cluster_parts.h"
#include "proxy/config/compile/matchers.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"
#include "proxy/transport/host_transport.h"

namespace meltemi::proxy {
namespace {

namespace core = envoy::config::core::v3;
using envoy::config::cluster::v3::Cluster;
using envoy::extensions::upstreams::http::v3::HttpProtocolOptions;

constexpr char kHttpOptionsKey[] = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

absl::Status Invalid(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

absl::Status ReadCommon(const core::HttpProtocolOptions& common, absl::string_view where,
                        ClusterConfig& config) {
  RETURN_IF_ERROR(CheckSupported(common, where,
                                 {"idle_timeout", "max_connection_duration", "max_headers_count",
                                  "max_requests_per_connection"}));
  if (common.has_idle_timeout()) {
    ASSIGN_OR_RETURN(config.idle_timeout,
                     CompileDuration(common.idle_timeout(), absl::StrCat(where, ".idle_timeout")));
    // 0 switches it off.
    if (*config.idle_timeout == Duration(0)) config.idle_timeout = kNoIdleTimeout;
  }
  if (common.has_max_connection_duration()) {
    ASSIGN_OR_RETURN(config.connection_duration_max,
                     CompileDuration(common.max_connection_duration(),
                                     absl::StrCat(where, ".max_connection_duration")));
  }
  if (common.has_max_headers_count()) {
    config.http1.headers_count_max = common.max_headers_count().value();
    config.http2.headers_count_max = common.max_headers_count().value();
  }
  if (common.has_max_requests_per_connection()) {
    config.requests_per_connection_max = common.max_requests_per_connection().value();
  }
  return absl::OkStatus();
}

// What only a server reads (absolute URLs, HTTP/1.0) does no harm on this side.
absl::Status ReadHttp1(const core::Http1ProtocolOptions& http1, absl::string_view where) {
  return CheckSupported(http1, where,
                        {"allow_absolute_url.**", "accept_http_10", "default_host_for_http_10",
                         "enable_trailers", "override_stream_error_on_invalid_http_message.**",
                         "use_balsa_parser.**", "allow_custom_methods"});
}

absl::Status ReadHttp2(const core::Http2ProtocolOptions& http2, absl::string_view where,
                       ClusterConfig& config) {
  RETURN_IF_ERROR(CheckSupported(
      http2, where,
      {"hpack_table_size", "max_concurrent_streams", "initial_stream_window_size",
       "initial_connection_window_size", "allow_connect", "max_outbound_control_frames",
       "max_consecutive_inbound_frames_with_empty_payload",
       "override_stream_error_on_invalid_http_message.**", "use_oghttp2_codec.**",
       "connection_keepalive.interval", "connection_keepalive.timeout"}));
  const auto read = [](const google::protobuf::UInt32Value& value, uint32_t& to) {
    if (value.value() != 0) to = value.value();
  };
  read(http2.hpack_table_size(), config.http2.header_table_bytes);
  read(http2.max_concurrent_streams(), config.http2.concurrent_streams_max);
  read(http2.initial_stream_window_size(), config.http2.stream_window_bytes);
  read(http2.initial_connection_window_size(), config.http2.connection_window_bytes);
  read(http2.max_outbound_control_frames(), config.http2.queued_control_frames_max);
  read(http2.max_consecutive_inbound_frames_with_empty_payload(),
       config.http2.empty_data_frames_max);
  const auto& keepalive = http2.connection_keepalive();
  if (keepalive.has_interval()) {
    ASSIGN_OR_RETURN(config.http2_ping_interval,
                     CompileDuration(keepalive.interval(),
                                     absl::StrCat(where, ".connection_keepalive.interval")));
  }
  if (keepalive.has_timeout()) {
    ASSIGN_OR_RETURN(
        config.http2_ping_timeout,
        CompileDuration(keepalive.timeout(), absl::StrCat(where, ".connection_keepalive.timeout")));
  }
  return absl::OkStatus();
}

// Both protocols: whichever the client speaks, or which ALPN agrees on.
template <typename Message>
absl::Status ReadBoth(const Message& both, absl::string_view where, UpstreamProtocol protocol,
                      ClusterConfig& config) {
  RETURN_IF_ERROR(CheckSupported(both, where, {"http_protocol_options", "http2_protocol_options"}));
  config.protocol = protocol;
  RETURN_IF_ERROR(
      ReadHttp1(both.http_protocol_options(), absl::StrCat(where, ".http_protocol_options")));
  return ReadHttp2(both.http2_protocol_options(), absl::StrCat(where, ".http2_protocol_options"),
                   config);
}

absl::Status ReadExplicit(const HttpProtocolOptions::ExplicitHttpConfig& chosen,
                          absl::string_view where, ClusterConfig& config) {
  if (chosen.has_http2_protocol_options()) {
    config.protocol = UpstreamProtocol::kHttp2;
    return ReadHttp2(chosen.http2_protocol_options(),
                     absl::StrCat(where, ".http2_protocol_options"), config);
  }
  if (chosen.has_http3_protocol_options()) {
    return Invalid(where, "field 'http3_protocol_options' is not supported");
  }
  config.protocol = UpstreamProtocol::kHttp1;
  return ReadHttp1(chosen.http_protocol_options(), absl::StrCat(where, ".http_protocol_options"));
}

absl::Status ReadTyped(const HttpProtocolOptions& options, absl::string_view where,
                       ClusterConfig& config) {
  // upstream_http_protocol_options: CompileAutoNames.
  RETURN_IF_ERROR(CheckSupported(
      options, where,
      {"common_http_protocol_options", "upstream_http_protocol_options", "explicit_http_config",
       "use_downstream_protocol_config", "auto_config", "http_filters"}));
  RETURN_IF_ERROR(ReadCommon(options.common_http_protocol_options(),
                             absl::StrCat(where, ".common_http_protocol_options"), config));
  for (const auto& filter : options.http_filters()) {
    if (filter.name() == "envoy.filters.http.upstream_codec") continue;
    return Invalid(where, absl::StrCat("http filter '", filter.name(), "' is not supported"));
  }
  if (options.has_use_downstream_protocol_config()) {
    return ReadBoth(options.use_downstream_protocol_config(),
                    absl::StrCat(where, ".use_downstream_protocol_config"),
                    UpstreamProtocol::kSameAsDownstream, config);
  }
  if (options.has_auto_config()) {
    return ReadBoth(options.auto_config(), absl::StrCat(where, ".auto_config"),
                    UpstreamProtocol::kByAlpn, config);
  }
  return ReadExplicit(options.explicit_http_config(), absl::StrCat(where, ".explicit_http_config"),
                      config);
}

// The fields of the cluster itself, as old configurations have them.
absl::Status ReadOldFields(const Cluster& cluster, absl::string_view where, ClusterConfig& config) {
  RETURN_IF_ERROR(ReadCommon(cluster.common_http_protocol_options(),
                             absl::StrCat(where, ": common_http_protocol_options"), config));
  RETURN_IF_ERROR(
      ReadHttp1(cluster.http_protocol_options(), absl::StrCat(where, ": http_protocol_options")));
  RETURN_IF_ERROR(ReadHttp2(cluster.http2_protocol_options(),
                            absl::StrCat(where, ": http2_protocol_options"), config));
  if (cluster.protocol_selection() == Cluster::USE_DOWNSTREAM_PROTOCOL) {
    config.protocol = UpstreamProtocol::kSameAsDownstream;
  } else if (cluster.has_http2_protocol_options()) {
    config.protocol = UpstreamProtocol::kHttp2;
  }
  if (cluster.has_max_requests_per_connection()) {
    config.requests_per_connection_max = cluster.max_requests_per_connection().value();
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CompileAutoNames(const Cluster& cluster, absl::string_view where,
                              ClusterTransport& transport) {
  core::UpstreamHttpProtocolOptions names = cluster.upstream_http_protocol_options();
  const auto typed = cluster.typed_extension_protocol_options().find(kHttpOptionsKey);
  if (typed != cluster.typed_extension_protocol_options().end()) {
    HttpProtocolOptions options;
    RETURN_IF_ERROR(UnpackAny(typed->second, where, &options));
    if (options.has_upstream_http_protocol_options()) {
      names = options.upstream_http_protocol_options();
    }
  }
  RETURN_IF_ERROR(CheckSupported(names, absl::StrCat(where, ": upstream_http_protocol_options"),
                                 {"auto_sni", "auto_san_validation", "override_auto_sni_header"}));
  transport.auto_sni = names.auto_sni();
  transport.auto_san_validation = names.auto_san_validation();
  transport.auto_sni_header = absl::AsciiStrToLower(names.override_auto_sni_header());
  return absl::OkStatus();
}

absl::Status CompileProtocol(const Cluster& cluster, absl::string_view where,
                             ClusterConfig& config) {
  RETURN_IF_ERROR(ReadOldFields(cluster, where, config));
  for (const auto& [key, any] : cluster.typed_extension_protocol_options()) {
    const std::string part = absl::StrCat(where, ": typed_extension_protocol_options['", key, "']");
    if (key != kHttpOptionsKey) return Invalid(part, "is not supported");
    HttpProtocolOptions options;
    RETURN_IF_ERROR(UnpackAny(any, part, &options));
    RETURN_IF_ERROR(ReadTyped(options, part, config));
  }
  return absl::OkStatus();
}

}  // namespace meltemi::proxy
