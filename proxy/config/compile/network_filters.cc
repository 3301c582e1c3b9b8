#include "proxy/config/compile/network_filters.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "envoy/config/core/v3/address.pb.h"
#include "envoy/config/core/v3/protocol.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "envoy/extensions/request_id/uuid/v3/uuid.pb.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/duration.pb.h"
#include "proxy/config/compile/access_log.h"
#include "proxy/config/compile/context.h"
#include "proxy/config/compile/filters.h"
#include "proxy/config/compile/matchers.h"
#include "proxy/config/compile/route.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"

namespace meltemi::proxy {
namespace {

namespace core_v3 = envoy::config::core::v3;
namespace hcm_v3 = envoy::extensions::filters::network::http_connection_manager::v3;
namespace tcp_v3 = envoy::extensions::filters::network::tcp_proxy::v3;

using Hcm = hcm_v3::HttpConnectionManager;

absl::Status Error(absl::string_view where, absl::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", what));
}

// Sets `target` when the field is there.
#define SET_DURATION(target, message, field, where)                                                \
  do {                                                                                             \
    if ((message).has_##field()) {                                                                 \
      ASSIGN_OR_RETURN(target,                                                                     \
                       CompileDuration((message).field(), absl::StrCat(where, ": '" #field "'"))); \
    }                                                                                              \
  } while (false)

absl::Status CompileCommonOptions(const core_v3::HttpProtocolOptions& options,
                                  const std::string& where, HttpConfig* out) {
  RETURN_IF_ERROR(
      CheckSupported(options, where,
                     {"idle_timeout", "max_connection_duration", "max_headers_count.value",
                      "max_stream_duration", "max_requests_per_connection.value"}));
  SET_DURATION(out->idle_timeout, options, idle_timeout, where);
  SET_DURATION(out->connection_duration_max, options, max_connection_duration, where);
  SET_DURATION(out->max_stream_duration, options, max_stream_duration, where);
  if (options.has_max_headers_count()) {
    out->http1.headers_count_max = options.max_headers_count().value();
    out->http2.headers_count_max = options.max_headers_count().value();
  }
  out->requests_per_connection_max = options.max_requests_per_connection().value();
  return absl::OkStatus();
}

absl::Status CompileHttp1(const core_v3::Http1ProtocolOptions& options, const std::string& where,
                          HttpConfig* out) {
  // enable_trailers: trailers always pass here. use_balsa_parser chooses a parser that is not ours.
  RETURN_IF_ERROR(CheckSupported(
      options, where,
      {"allow_absolute_url.value", "accept_http_10", "enable_trailers", "use_balsa_parser.**",
       "override_stream_error_on_invalid_http_message.**", "allow_custom_methods"}));
  if (options.has_allow_absolute_url() && !options.allow_absolute_url().value()) {
    return Error(where, "'allow_absolute_url: false' is not supported");
  }
  out->http1.accept_http10 = options.accept_http_10();
  return absl::OkStatus();
}

absl::Status CompileHttp2(const core_v3::Http2ProtocolOptions& options, const std::string& where,
                          HttpConfig* out) {
  RETURN_IF_ERROR(CheckSupported(
      options, where,
      {"hpack_table_size.value", "max_concurrent_streams.value", "initial_stream_window_size.value",
       "initial_connection_window_size.value", "allow_connect", "max_outbound_frames.**",
       "max_outbound_control_frames.value",
       "max_consecutive_inbound_frames_with_empty_payload.value",
       "max_inbound_priority_frames_per_stream.**",
       "max_inbound_window_update_frames_per_data_frame_sent.**",
       "override_stream_error_on_invalid_http_message.**", "use_oghttp2_codec.**"}));
  http::Http2Limits& limits = out->http2;
  if (options.has_hpack_table_size()) {
    limits.header_table_bytes = options.hpack_table_size().value();
  }
  if (options.has_max_concurrent_streams()) {
    limits.concurrent_streams_max = options.max_concurrent_streams().value();
  }
  if (options.has_initial_stream_window_size()) {
    limits.stream_window_bytes = options.initial_stream_window_size().value();
  }
  if (options.has_initial_connection_window_size()) {
    limits.connection_window_bytes = options.initial_connection_window_size().value();
  }
  if (options.has_max_outbound_control_frames()) {
    limits.queued_control_frames_max = options.max_outbound_control_frames().value();
  }
  if (options.has_max_consecutive_inbound_frames_with_empty_payload()) {
    limits.empty_data_frames_max =
        options.max_consecutive_inbound_frames_with_empty_payload().value();
  }
  return absl::OkStatus();
}

absl::Status CompileTimeouts(const Hcm& config, const std::string& where, HttpConfig* out) {
  SET_DURATION(out->stream_idle_timeout, config, stream_idle_timeout, where);
  SET_DURATION(out->request_timeout, config, request_timeout, where);
  SET_DURATION(out->request_headers_timeout, config, request_headers_timeout, where);
  SET_DURATION(out->drain_timeout, config, drain_timeout, where);
  SET_DURATION(out->delayed_close_timeout, config, delayed_close_timeout, where);
  return absl::OkStatus();
}

absl::Status CompileRoutes(const Hcm& config, const std::string& where,
                           const CompileContext& context, HttpConfig* out) {
  switch (config.route_specifier_case()) {
    case Hcm::kRds:
      RETURN_IF_ERROR(CheckSupported(
          config.rds(), absl::StrCat(where, ": rds"),
          {"route_config_name", "config_source.ads", "config_source.resource_api_version",
           "config_source.initial_fetch_timeout.**"}));
      if (config.rds().route_config_name().empty()) {
        return Error(where, "'rds.route_config_name' is not set");
      }
      out->rds_name = config.rds().route_config_name();
      return absl::OkStatus();
    case Hcm::kRouteConfig: {
      auto table = CompileRouteTable(config.route_config(), context);
      if (!table.ok()) return Error(where, table.status().message());
      out->inline_routes = *std::move(table);
      return absl::OkStatus();
    }
    case Hcm::kScopedRoutes:
      return Error(where, "field 'scoped_routes' is not supported");
    case Hcm::ROUTE_SPECIFIER_NOT_SET:
      break;
  }
  return Error(where, "neither 'rds' nor 'route_config' is set");
}

absl::Status CompileUpgrades(const Hcm& config, const std::string& where, HttpConfig* out) {
  for (int i = 0; i < config.upgrade_configs_size(); ++i) {
    const auto& upgrade = config.upgrade_configs(i);
    RETURN_IF_ERROR(CheckSupported(upgrade, absl::StrCat(where, ": upgrade_configs[", i, "]"),
                                   {"upgrade_type", "enabled.value"}));
    // Disabled ones are what routes may switch on: only the enabled ones hold for all routes.
    if (upgrade.has_enabled() && !upgrade.enabled().value()) continue;
    out->upgrades.push_back(absl::AsciiStrToLower(upgrade.upgrade_type()));
  }
  return absl::OkStatus();
}

absl::Status CompileForwardClientCert(const Hcm& config, const std::string& where,
                                      HttpConfig* out) {
  switch (config.forward_client_cert_details()) {
    case Hcm::SANITIZE:
      out->forward_client_cert = ForwardClientCert::kSanitize;
      break;
    case Hcm::FORWARD_ONLY:
      out->forward_client_cert = ForwardClientCert::kForwardOnly;
      break;
    case Hcm::APPEND_FORWARD:
      out->forward_client_cert = ForwardClientCert::kAppendForward;
      break;
    case Hcm::SANITIZE_SET:
      out->forward_client_cert = ForwardClientCert::kSanitizeSet;
      break;
    case Hcm::ALWAYS_FORWARD_ONLY:
      out->forward_client_cert = ForwardClientCert::kAlwaysForwardOnly;
      break;
    default:
      return Error(where, "'forward_client_cert_details' has an unknown value");
  }
  const auto& details = config.set_current_client_cert_details();
  out->client_cert_subject = details.subject().value();
  out->client_cert_pem = details.cert();
  out->client_cert_chain = details.chain();
  out->client_cert_uri = details.uri();
  out->client_cert_dns = details.dns();
  return absl::OkStatus();
}

absl::Status CompileEnums(const Hcm& config, const std::string& where, HttpConfig* out) {
  switch (config.codec_type()) {
    case Hcm::AUTO:
      out->codec = HttpConfig::Codec::kAuto;
      break;
    case Hcm::HTTP1:
      out->codec = HttpConfig::Codec::kHttp1;
      break;
    case Hcm::HTTP2:
      out->codec = HttpConfig::Codec::kHttp2;
      break;
    default:
      return Error(where, absl::StrCat("'codec_type: ", Hcm::CodecType_Name(config.codec_type()),
                                       "' is not supported"));
  }
  switch (config.server_header_transformation()) {
    case Hcm::OVERWRITE:
      out->server_header = ServerHeader::kOverwrite;
      break;
    case Hcm::APPEND_IF_ABSENT:
      out->server_header = ServerHeader::kAppendIfAbsent;
      break;
    case Hcm::PASS_THROUGH:
      out->server_header = ServerHeader::kPassThrough;
      break;
    default:
      return Error(where, "'server_header_transformation' has an unknown value");
  }
  switch (config.path_with_escaped_slashes_action()) {
    case Hcm::IMPLEMENTATION_SPECIFIC_DEFAULT:
    case Hcm::KEEP_UNCHANGED:
      out->escaped_slashes = PathEscapedSlashes::kKeep;
      break;
    case Hcm::REJECT_REQUEST:
      out->escaped_slashes = PathEscapedSlashes::kReject;
      break;
    case Hcm::UNESCAPE_AND_REDIRECT:
      out->escaped_slashes = PathEscapedSlashes::kUnescapeRedirect;
      break;
    case Hcm::UNESCAPE_AND_FORWARD:
      out->escaped_slashes = PathEscapedSlashes::kUnescapeForward;
      break;
    default:
      return Error(where, "'path_with_escaped_slashes_action' has an unknown value");
  }
  return CompileForwardClientCert(config, where, out);
}

absl::Status CompileRequestId(const Hcm& config, const std::string& where) {
  if (!config.has_request_id_extension()) return absl::OkStatus();
  const std::string here = absl::StrCat(where, ": request_id_extension");
  RETURN_IF_ERROR(CheckSupported(config.request_id_extension(), here, {"typed_config"}));
  envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig uuid;
  RETURN_IF_ERROR(UnpackAny(config.request_id_extension().typed_config(), here, &uuid));
  // Both settings concern the sampling of traces, which nobody takes here.
  return CheckSupported(uuid, here,
                        {"pack_trace_reason.**", "use_request_id_for_trace_sampling.**"});
}

absl::Status CompileInternalAddresses(const Hcm& config, const std::string& where,
                                      HttpConfig* out) {
  if (!config.has_internal_address_config()) return absl::OkStatus();
  const auto& internal = config.internal_address_config();
  RETURN_IF_ERROR(CheckSupported(internal, absl::StrCat(where, ": internal_address_config"),
                                 {"cidr_ranges.**"}));
  out->internal_ranges.emplace();
  for (const core_v3::CidrRange& range : internal.cidr_ranges()) {
    auto cidr =
        net::Cidr::Parse(absl::StrCat(range.address_prefix(), "/", range.prefix_len().value()));
    if (!cidr.ok()) return Error(where, cidr.status().message());
    out->internal_ranges->push_back(*std::move(cidr));
  }
  return absl::OkStatus();
}

void CopyPlainFields(const Hcm& config, HttpConfig* out) {
  out->stat_prefix = config.stat_prefix();
  if (!config.server_name().empty()) out->server_name = config.server_name();
  out->use_remote_address = config.use_remote_address().value();
  out->skip_xff_append = config.skip_xff_append();
  out->xff_trusted_hops = config.xff_num_trusted_hops();
  out->generate_request_id =
      !config.has_generate_request_id() || config.generate_request_id().value();
  out->preserve_external_request_id = config.preserve_external_request_id();
  out->always_set_request_id_in_response = config.always_set_request_id_in_response();
  out->via = config.via();
  out->normalize_path = config.normalize_path().value();
  out->merge_slashes = config.merge_slashes();
  out->strip_any_port = config.strip_any_host_port();
  out->strip_matching_port = config.strip_matching_host_port();
  out->stream_error_on_invalid_message = config.stream_error_on_invalid_http_message().value();
  out->proxy_100_continue = config.proxy_100_continue();
  if (config.has_max_request_headers_kb()) {
    const size_t bytes = size_t{1024} * config.max_request_headers_kb().value();
    out->http1.headers_bytes_max = out->http2.headers_bytes_max = bytes;
  }
}

constexpr absl::string_view kManagerFields[] = {
    "codec_type", "stat_prefix", "rds", "route_config", "scoped_routes", "http_filters",
    "common_http_protocol_options", "http_protocol_options", "http2_protocol_options",
    "server_name", "server_header_transformation", "max_request_headers_kb.value",
    "stream_idle_timeout", "request_timeout", "request_headers_timeout", "drain_timeout",
    "delayed_close_timeout", "access_log", "use_remote_address.value", "xff_num_trusted_hops",
    "skip_xff_append", "via", "generate_request_id.value", "preserve_external_request_id",
    "always_set_request_id_in_response", "forward_client_cert_details", "proxy_100_continue",
    "upgrade_configs", "normalize_path.value", "merge_slashes", "path_with_escaped_slashes_action",
    "request_id_extension", "internal_address_config", "strip_matching_host_port",
    "strip_any_host_port", "stream_error_on_invalid_http_message.value",
    // No traces are taken yet; ids and contexts of callers pass untouched.
    "tracing.**", "set_current_client_cert_details.subject.value",
    "set_current_client_cert_details.cert", "set_current_client_cert_details.chain",
    "set_current_client_cert_details.dns", "set_current_client_cert_details.uri"};

absl::Status CompileOptions(const Hcm& config, const std::string& where, HttpConfig* out) {
  if (config.has_common_http_protocol_options()) {
    RETURN_IF_ERROR(CompileCommonOptions(config.common_http_protocol_options(),
                                         absl::StrCat(where, ": common_http_protocol_options"),
                                         out));
  }
  // Envoy answers HTTP/1.0 with 426 unless it is told to accept it.
  out->http1.accept_http10 = false;
  if (config.has_http_protocol_options()) {
    RETURN_IF_ERROR(CompileHttp1(config.http_protocol_options(),
                                 absl::StrCat(where, ": http_protocol_options"), out));
  }
  if (config.has_http2_protocol_options()) {
    RETURN_IF_ERROR(CompileHttp2(config.http2_protocol_options(),
                                 absl::StrCat(where, ": http2_protocol_options"), out));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const HttpConfig>> CompileHttpManager(
    const google::protobuf::Any& any, const std::string& where, bool inbound,
    const CompileContext& context) {
  Hcm config;
  RETURN_IF_ERROR(UnpackAny(any, where, &config));
  RETURN_IF_ERROR(CheckSupported(config, where, absl::MakeConstSpan(kManagerFields)));
  auto out = std::make_shared<HttpConfig>();
  out->inbound = inbound;
  CopyPlainFields(config, out.get());
  RETURN_IF_ERROR(CompileEnums(config, where, out.get()));
  RETURN_IF_ERROR(CompileTimeouts(config, where, out.get()));
  RETURN_IF_ERROR(CompileOptions(config, where, out.get()));
  RETURN_IF_ERROR(CompileUpgrades(config, where, out.get()));
  RETURN_IF_ERROR(CompileRequestId(config, where));
  RETURN_IF_ERROR(CompileInternalAddresses(config, where, out.get()));
  RETURN_IF_ERROR(CompileRoutes(config, where, context, out.get()));
  ASSIGN_OR_RETURN(CompiledHttpFilters filters, CompileHttpFilters(config.http_filters(), where));
  out->filters = std::move(filters.filters);
  out->suppress_envoy_headers = filters.suppress_envoy_headers;
  out->upstream_alpn = std::move(filters.upstream_alpn);
  ASSIGN_OR_RETURN(out->access_logs, CompileAccessLogs(config.access_log(), where, context));
  return std::shared_ptr<const HttpConfig>(std::move(out));
}

absl::StatusOr<std::shared_ptr<const TcpProxyConfig>> CompileTcpProxy(
    const google::protobuf::Any& any, const std::string& where, bool inbound,
    const CompileContext& context) {
  tcp_v3::TcpProxy config;
  RETURN_IF_ERROR(UnpackAny(any, where, &config));
  RETURN_IF_ERROR(CheckSupported(config, where,
                                 {"stat_prefix", "cluster", "weighted_clusters.clusters.name",
                                  "weighted_clusters.clusters.weight", "idle_timeout", "access_log",
                                  "max_connect_attempts.value", "hash_policy.source_ip.**",
                                  "max_downstream_connection_duration"}));
  auto out = std::make_shared<TcpProxyConfig>();
  out->stat_prefix = config.stat_prefix();
  out->inbound = inbound;
  if (config.has_weighted_clusters()) {
    uint64_t total = 0;
    for (const auto& cluster : config.weighted_clusters().clusters()) {
      if (cluster.weight() == 0) return Error(where, "the weight of a cluster must be above 0");
      out->targets.push_back({cluster.name(), cluster.weight()});
      total += cluster.weight();
    }
    if (total > UINT32_MAX) return Error(where, "the sum of weights is too large");
    out->weight_total = static_cast<uint32_t>(total);
  } else if (!config.cluster().empty()) {
    out->targets.push_back({config.cluster(), 1});
    out->weight_total = 1;
  }
  if (out->targets.empty()) return Error(where, "neither 'cluster' nor 'weighted_clusters' is set");
  if (config.hash_policy_size() > 0) {
    HashPolicy policy;
    policy.kind = HashPolicy::Kind::kSourceIp;
    out->hash.push_back(std::move(policy));
  }
  SET_DURATION(out->idle_timeout, config, idle_timeout, where);
  SET_DURATION(out->connection_duration_max, config, max_downstream_connection_duration, where);
  if (config.has_max_connect_attempts()) {
    if (config.max_connect_attempts().value() == 0) {
      return Error(where, "'max_connect_attempts' must be above 0");
    }
    out->connect_attempts_max = config.max_connect_attempts().value();
  }
  ASSIGN_OR_RETURN(out->access_logs, CompileAccessLogs(config.access_log(), where, context));
  return std::shared_ptr<const TcpProxyConfig>(std::move(out));
}

}  // namespace meltemi::proxy
