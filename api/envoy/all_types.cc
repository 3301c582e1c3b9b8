#include "api/envoy/all_types.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>

#include "envoy/admin/v3/clusters.pb.h"
#include "envoy/admin/v3/config_dump.pb.h"
#include "envoy/admin/v3/config_dump_shared.pb.h"
#include "envoy/admin/v3/metrics.pb.h"
#include "envoy/admin/v3/server_info.pb.h"
#include "envoy/config/accesslog/v3/accesslog.pb.h"
#include "envoy/config/bootstrap/v3/bootstrap.pb.h"
#include "envoy/config/cluster/v3/circuit_breaker.pb.h"
#include "envoy/config/cluster/v3/cluster.pb.h"
#include "envoy/config/cluster/v3/filter.pb.h"
#include "envoy/config/cluster/v3/outlier_detection.pb.h"
#include "envoy/config/core/v3/address.pb.h"
#include "envoy/config/core/v3/backoff.pb.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/core/v3/config_source.pb.h"
#include "envoy/config/core/v3/extension.pb.h"
#include "envoy/config/core/v3/grpc_method_list.pb.h"
#include "envoy/config/core/v3/grpc_service.pb.h"
#include "envoy/config/core/v3/health_check.pb.h"
#include "envoy/config/core/v3/http_uri.pb.h"
#include "envoy/config/core/v3/protocol.pb.h"
#include "envoy/config/core/v3/proxy_protocol.pb.h"
#include "envoy/config/core/v3/resolver.pb.h"
#include "envoy/config/core/v3/socket_option.pb.h"
#include "envoy/config/core/v3/substitution_format_string.pb.h"
#include "envoy/config/endpoint/v3/endpoint.pb.h"
#include "envoy/config/endpoint/v3/endpoint_components.pb.h"
#include "envoy/config/listener/v3/api_listener.pb.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/listener/v3/listener_components.pb.h"
#include "envoy/config/listener/v3/udp_listener_config.pb.h"
#include "envoy/config/metrics/v3/stats.pb.h"
#include "envoy/config/overload/v3/overload.pb.h"
#include "envoy/config/rbac/v3/rbac.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/config/trace/v3/http_tracer.pb.h"
#include "envoy/extensions/access_loggers/file/v3/file.pb.h"
#include "envoy/extensions/access_loggers/stream/v3/stream.pb.h"
#include "envoy/extensions/filters/common/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/grpc_stats/v3/config.pb.h"
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/listener/http_inspector/v3/http_inspector.pb.h"
#include "envoy/extensions/filters/listener/original_dst/v3/original_dst.pb.h"
#include "envoy/extensions/filters/listener/tls_inspector/v3/tls_inspector.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "envoy/extensions/load_balancing_policies/common/v3/common.pb.h"
#include "envoy/extensions/load_balancing_policies/least_request/v3/least_request.pb.h"
#include "envoy/extensions/load_balancing_policies/maglev/v3/maglev.pb.h"
#include "envoy/extensions/load_balancing_policies/random/v3/random.pb.h"
#include "envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash.pb.h"
#include "envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.pb.h"
#include "envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality.pb.h"
#include "envoy/extensions/path/match/uri_template/v3/uri_template_match.pb.h"
#include "envoy/extensions/request_id/uuid/v3/uuid.pb.h"
#include "envoy/extensions/retry/host/omit_canary_hosts/v3/omit_canary_hosts.pb.h"
#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb.h"
#include "envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.pb.h"
#include "envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/common.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/secret.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "envoy/extensions/upstreams/http/v3/http_protocol_options.pb.h"
#include "envoy/service/discovery/v3/discovery.pb.h"
#include "envoy/type/matcher/v3/filter_state.pb.h"
#include "envoy/type/matcher/v3/metadata.pb.h"
#include "envoy/type/matcher/v3/number.pb.h"
#include "envoy/type/matcher/v3/path.pb.h"
#include "envoy/type/matcher/v3/regex.pb.h"
#include "envoy/type/matcher/v3/string.pb.h"
#include "envoy/type/matcher/v3/value.pb.h"
#include "envoy/type/metadata/v3/metadata.pb.h"
#include "envoy/type/tracing/v3/custom_tag.pb.h"
#include "envoy/type/v3/hash_policy.pb.h"
#include "envoy/type/v3/http.pb.h"
#include "envoy/type/v3/http_status.pb.h"
#include "envoy/type/v3/percent.pb.h"
#include "envoy/type/v3/range.pb.h"
#include "envoy/type/v3/semantic_version.pb.h"
#include "google/rpc/status.pb.h"
#include "udpa/type/v1/typed_struct.pb.h"
#include "xds/core/v3/authority.pb.h"
#include "xds/core/v3/context_params.pb.h"
#include "xds/core/v3/extension.pb.h"
#include "xds/type/matcher/v3/matcher.pb.h"
#include "xds/type/v3/typed_struct.pb.h"

namespace meltemi::api {
namespace {

using google::protobuf::FileDescriptor;

template <typename M>
const FileDescriptor* FileOf() {
  return M::descriptor()->file();
}

// One message of each file brings in the file.
constexpr const FileDescriptor* (*kFiles[])() = {
    FileOf<envoy::admin::v3::Clusters>,
    FileOf<envoy::admin::v3::ConfigDump>,
    FileOf<envoy::admin::v3::UpdateFailureState>,
    FileOf<envoy::admin::v3::SimpleMetric>,
    FileOf<envoy::admin::v3::ServerInfo>,
    FileOf<envoy::config::accesslog::v3::AccessLog>,
    FileOf<envoy::config::bootstrap::v3::Bootstrap>,
    FileOf<envoy::config::cluster::v3::CircuitBreakers>,
    FileOf<envoy::config::cluster::v3::ClusterCollection>,
    FileOf<envoy::config::cluster::v3::Filter>,
    FileOf<envoy::config::cluster::v3::OutlierDetection>,
    FileOf<envoy::config::core::v3::Pipe>,
    FileOf<envoy::config::core::v3::BackoffStrategy>,
    FileOf<envoy::config::core::v3::Locality>,
    FileOf<envoy::config::core::v3::ApiConfigSource>,
    FileOf<envoy::config::core::v3::TypedExtensionConfig>,
    FileOf<envoy::config::core::v3::GrpcMethodList>,
    FileOf<envoy::config::core::v3::GrpcService>,
    FileOf<envoy::config::core::v3::HealthStatusSet>,
    FileOf<envoy::config::core::v3::HttpUri>,
    FileOf<envoy::config::core::v3::UpstreamHttpProtocolOptions>,
    FileOf<envoy::config::core::v3::ProxyProtocolConfig>,
    FileOf<envoy::config::core::v3::DnsResolverOptions>,
    FileOf<envoy::config::core::v3::SocketOption>,
    FileOf<envoy::config::core::v3::JsonFormatOptions>,
    FileOf<envoy::config::endpoint::v3::ClusterLoadAssignment>,
    FileOf<envoy::config::endpoint::v3::Endpoint>,
    FileOf<envoy::config::listener::v3::ApiListener>,
    FileOf<envoy::config::listener::v3::AdditionalAddress>,
    FileOf<envoy::config::listener::v3::Filter>,
    FileOf<envoy::config::listener::v3::UdpListenerConfig>,
    FileOf<envoy::config::metrics::v3::StatsSink>,
    FileOf<envoy::config::overload::v3::OverloadManager>,
    FileOf<envoy::config::route::v3::RouteConfiguration>,
    FileOf<envoy::config::route::v3::VirtualHost>,
    FileOf<envoy::config::trace::v3::Tracing>,
    FileOf<envoy::extensions::access_loggers::file::v3::FileAccessLog>,
    FileOf<envoy::extensions::access_loggers::stream::v3::StdoutAccessLog>,
    FileOf<envoy::extensions::filters::common::fault::v3::FaultDelay>,
    FileOf<envoy::extensions::filters::http::cors::v3::Cors>,
    FileOf<envoy::extensions::filters::http::fault::v3::FaultAbort>,
    FileOf<envoy::extensions::filters::http::grpc_stats::v3::FilterConfig>,
    FileOf<envoy::extensions::filters::http::router::v3::Router>,
    FileOf<envoy::extensions::filters::listener::http_inspector::v3::HttpInspector>,
    FileOf<envoy::extensions::filters::listener::original_dst::v3::OriginalDst>,
    FileOf<envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector>,
    FileOf<envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager>,
    FileOf<envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy>,
    FileOf<envoy::extensions::load_balancing_policies::common::v3::LocalityLbConfig>,
    FileOf<envoy::extensions::load_balancing_policies::least_request::v3::LeastRequest>,
    FileOf<envoy::extensions::load_balancing_policies::maglev::v3::Maglev>,
    FileOf<envoy::extensions::load_balancing_policies::random::v3::Random>,
    FileOf<envoy::extensions::load_balancing_policies::ring_hash::v3::RingHash>,
    FileOf<envoy::extensions::load_balancing_policies::round_robin::v3::RoundRobin>,
    FileOf<envoy::extensions::load_balancing_policies::wrr_locality::v3::WrrLocality>,
    FileOf<envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig>,
    FileOf<envoy::extensions::retry::host::omit_canary_hosts::v3::OmitCanaryHostsPredicate>,
    FileOf<envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate>,
    FileOf<envoy::extensions::retry::priority::previous_priorities::v3::PreviousPrioritiesConfig>,
    FileOf<envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer>,
    FileOf<envoy::extensions::transport_sockets::tls::v3::TlsCertificate>,
    FileOf<envoy::extensions::transport_sockets::tls::v3::Secret>,
    FileOf<envoy::extensions::transport_sockets::tls::v3::UpstreamTlsContext>,
    FileOf<envoy::config::rbac::v3::Policy>,
    FileOf<envoy::extensions::filters::http::rbac::v3::RBACPerRoute>,
    FileOf<envoy::extensions::filters::network::rbac::v3::RBAC>,
    FileOf<envoy::extensions::path::match::uri_template::v3::UriTemplateMatchConfig>,
    FileOf<envoy::extensions::upstreams::http::v3::HttpProtocolOptions>,
    FileOf<envoy::service::discovery::v3::ResourceLocator>,
    FileOf<envoy::type::matcher::v3::MetadataMatcher>,
    FileOf<envoy::type::matcher::v3::DoubleMatcher>,
    FileOf<envoy::type::matcher::v3::FilterStateMatcher>,
    FileOf<envoy::type::matcher::v3::PathMatcher>,
    FileOf<envoy::type::matcher::v3::RegexMatcher>,
    FileOf<envoy::type::matcher::v3::StringMatcher>,
    FileOf<envoy::type::matcher::v3::ValueMatcher>,
    FileOf<envoy::type::metadata::v3::MetadataKey>,
    FileOf<envoy::type::tracing::v3::CustomTag>,
    FileOf<envoy::type::v3::HashPolicy>,
    FileOf<envoy::type::v3::HttpStatus>,
    FileOf<envoy::type::v3::Percent>,
    FileOf<envoy::type::v3::Int64Range>,
    FileOf<envoy::type::v3::SemanticVersion>,
    FileOf<google::rpc::Status>,
    FileOf<udpa::type::v1::TypedStruct>,
    FileOf<xds::core::v3::Authority>,
    FileOf<xds::core::v3::ContextParams>,
    FileOf<xds::core::v3::TypedExtensionConfig>,
    FileOf<xds::type::matcher::v3::Matcher>,
    FileOf<xds::type::v3::TypedStruct>,
};

}  // namespace

std::vector<const FileDescriptor*> LinkAllTypes() {
  std::vector<const FileDescriptor*> files;
  for (const auto& file : kFiles) files.push_back(file());
  std::sort(files.begin(), files.end(),
            [](const FileDescriptor* a, const FileDescriptor* b) { return a->name() < b->name(); });
  return files;
}

}  // namespace meltemi::api
