#include "proxy/config/compile/filters.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/grpc_stats/v3/config.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "google/protobuf/any.pb.h"
#include "networking/alpn/v2alpha1/config.pb.h"
#include "proxy/config/compile/fault_policy.h"
#include "proxy/config/compile/rbac.h"
#include "proxy/config/compile/route_action.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"
#include "proxy/filters/cors/cors.h"
#include "proxy/filters/fault/fault.h"
#include "proxy/transport/host_transport.h"
#include "udpa/type/v1/typed_struct.pb.h"
#include "xds/type/v3/typed_struct.pb.h"

namespace meltemi::proxy {
namespace {

namespace hcm_v3 = envoy::extensions::filters::network::http_connection_manager::v3;
namespace fault_v3 = envoy::extensions::filters::http::fault::v3;
namespace cors_v3 = envoy::extensions::filters::http::cors::v3;
namespace grpc_stats_v3 = envoy::extensions::filters::http::grpc_stats::v3;
namespace alpn_v2 = istio::envoy::config::filter::http::alpn::v2alpha1;
namespace router_v3 = envoy::extensions::filters::http::router::v3;

using google::protobuf::Any;

// What Istio's control plane puts into every chain. The exchange of peer metadata and Istio's
// metrics are built into this proxy (proxy/observe/mesh_stats.h).
constexpr std::array<absl::string_view, 2> kBuiltIn = {
    "io.istio.http.peer_metadata.Config",
    "stats.PluginConfig",
};

std::string TypeNameOf(absl::string_view url) {
  const size_t slash = url.rfind('/');
  return std::string(slash == absl::string_view::npos ? url : url.substr(slash + 1));
}

// The type inside a TypedStruct (how plugins' configurations travel), else the Any's own.
absl::StatusOr<std::string> InnerTypeName(const Any& any, absl::string_view where) {
  const std::string name = AnyTypeName(any);
  if (name == xds::type::v3::TypedStruct::descriptor()->full_name()) {
    xds::type::v3::TypedStruct inner;
    RETURN_IF_ERROR(UnpackAny(any, where, &inner));
    return TypeNameOf(inner.type_url());
  }
  if (name == udpa::type::v1::TypedStruct::descriptor()->full_name()) {
    udpa::type::v1::TypedStruct inner;
    RETURN_IF_ERROR(UnpackAny(any, where, &inner));
    return TypeNameOf(inner.type_url());
  }
  return name;
}

template <typename Message>
bool Is(absl::string_view type_name) {
  return type_name == Message::descriptor()->full_name();
}

absl::Status CompileRouter(const Any& any, const std::string& where, bool last,
                           CompiledHttpFilters* out) {
  if (!last) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": the router must be the last filter"));
  }
  router_v3::Router router;
  RETURN_IF_ERROR(UnpackAny(any, where, &router));
  // Child spans: nothing is traced. Dynamic statistics and gRPC status in them: always on.
  RETURN_IF_ERROR(CheckSupported(router, where,
                                 {"dynamic_stats.**", "start_child_span", "suppress_envoy_headers",
                                  "suppress_grpc_request_failure_code_stats"}));
  out->suppress_envoy_headers = router.suppress_envoy_headers();
  return absl::OkStatus();
}

// Counting messages per method and filter state for others to read is not here; without both the
// filter only counts, which Istio's own metrics do.
absl::Status CheckGrpcStats(const Any& any, const std::string& where) {
  grpc_stats_v3::FilterConfig config;
  RETURN_IF_ERROR(UnpackAny(any, where, &config));
  RETURN_IF_ERROR(CheckSupported(
      config, where,
      {"emit_filter_state", "stats_for_all_methods.**", "replace_dots_in_grpc_service_name"}));
  if (config.stats_for_all_methods().value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": 'stats_for_all_methods' is not supported"));
  }
  return absl::OkStatus();
}

absl::Status CompileAlpn(const Any& any, const std::string& where, CompiledHttpFilters* out) {
  alpn_v2::FilterConfig config;
  RETURN_IF_ERROR(UnpackAny(any, where, &config));
  RETURN_IF_ERROR(CheckSupported(
      config, where, {"alpn_override.upstream_protocol", "alpn_override.alpn_override"}));
  auto alpn = std::make_shared<AlpnOverride>();
  for (const auto& entry : config.alpn_override()) {
    std::vector<std::string>& list =
        entry.upstream_protocol() == alpn_v2::FilterConfig::HTTP2    ? alpn->http2
        : entry.upstream_protocol() == alpn_v2::FilterConfig::HTTP10 ? alpn->http10
                                                                     : alpn->http11;
    for (const std::string& protocol : entry.alpn_override()) {
      if (protocol.empty() || protocol.size() > 255) {
        return absl::InvalidArgumentError(
            absl::StrCat(where, ": 'alpn_override': a protocol has 1 to 255 bytes"));
      }
      list.push_back(protocol);
    }
  }
  out->upstream_alpn = std::move(alpn);
  return absl::OkStatus();
}

absl::Status CompileFilter(const hcm_v3::HttpFilter& filter, const std::string& where, bool last,
                           CompiledHttpFilters* out) {
  RETURN_IF_ERROR(CheckSupported(filter, where, {"name", "typed_config", "is_optional"}));
  if (!filter.has_typed_config()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": 'typed_config' is not set"));
  }
  const Any& any = filter.typed_config();
  ASSIGN_OR_RETURN(const std::string type, InnerTypeName(any, where));
  if (Is<router_v3::Router>(type)) return CompileRouter(any, where, last, out);
  if (last) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": the last filter must be the router"));
  }
  if (Is<fault_v3::HTTPFault>(type)) {
    fault_v3::HTTPFault fault;
    RETURN_IF_ERROR(UnpackAny(any, where, &fault));
    ASSIGN_OR_RETURN(auto policy, CompileFaultPolicy(fault, where));
    out->filters.push_back({filter.name(), NewFaultFilter(std::move(policy))});
    return absl::OkStatus();
  }
  if (Is<cors_v3::Cors>(type)) {
    cors_v3::Cors cors;
    RETURN_IF_ERROR(UnpackAny(any, where, &cors));
    RETURN_IF_ERROR(CheckSupported(cors, where, {}));
    out->filters.push_back({filter.name(), NewCorsFilter()});
    return absl::OkStatus();
  }
  if (IsHttpRbac(type)) {
    ASSIGN_OR_RETURN(auto rbac, CompileHttpRbac(any, filter.name(), where));
    out->filters.push_back({filter.name(), std::move(rbac)});
    return absl::OkStatus();
  }
  if (Is<grpc_stats_v3::FilterConfig>(type)) return CheckGrpcStats(any, where);
  if (Is<alpn_v2::FilterConfig>(type)) return CompileAlpn(any, where, out);
  if (std::find(kBuiltIn.begin(), kBuiltIn.end(), type) != kBuiltIn.end()) return absl::OkStatus();
  if (filter.is_optional()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(where, ": a filter of type '", type, "' is not supported"));
}

absl::Status CompileOverride(const Any& any, const std::string& where, absl::string_view name,
                             FilterOverrides* out) {
  const std::string type = AnyTypeName(any);
  if (Is<envoy::config::route::v3::FilterConfig>(type)) {
    envoy::config::route::v3::FilterConfig wrapper;
    RETURN_IF_ERROR(UnpackAny(any, where, &wrapper));
    RETURN_IF_ERROR(CheckSupported(wrapper, where, {"config", "is_optional", "disabled"}));
    if (wrapper.disabled()) {
      if (name == "envoy.filters.http.fault") {
        out->fault_disabled = true;
      } else if (name == "envoy.filters.http.cors") {
        out->cors_disabled = true;
      } else if (name == "envoy.filters.http.rbac") {
        out->rbac.push_back({std::string(name), nullptr});
      } else if (!wrapper.is_optional()) {
        return absl::InvalidArgumentError(
            absl::StrCat(where, ": disabling this filter is not supported"));
      }
      return absl::OkStatus();
    }
    const absl::Status inner = CompileOverride(wrapper.config(), where, name, out);
    return wrapper.is_optional() ? absl::OkStatus() : inner;
  }
  if (Is<fault_v3::HTTPFault>(type)) {
    fault_v3::HTTPFault fault;
    RETURN_IF_ERROR(UnpackAny(any, where, &fault));
    ASSIGN_OR_RETURN(out->fault, CompileFaultPolicy(fault, where));
    return absl::OkStatus();
  }
  if (Is<cors_v3::CorsPolicy>(type)) {
    cors_v3::CorsPolicy cors;
    RETURN_IF_ERROR(UnpackAny(any, where, &cors));
    ASSIGN_OR_RETURN(out->cors, CompileCorsPolicy(cors, where));
    return absl::OkStatus();
  }
  if (IsRbacPerRoute(type)) {
    ASSIGN_OR_RETURN(auto rbac, CompileRbacPerRoute(any, where));
    out->rbac.push_back({std::string(name), std::move(rbac)});
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(where, ": a configuration of type '", type, "' is not supported"));
}

}  // namespace

absl::StatusOr<CompiledHttpFilters> CompileHttpFilters(
    const google::protobuf::RepeatedPtrField<hcm_v3::HttpFilter>& filters,
    absl::string_view where) {
  if (filters.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": 'http_filters' is empty; the router must be there"));
  }
  CompiledHttpFilters out;
  for (int i = 0; i < filters.size(); ++i) {
    const std::string at = absl::StrCat(where, ": http_filters[", i, "] '", filters[i].name(), "'");
    RETURN_IF_ERROR(CompileFilter(filters[i], at, i + 1 == filters.size(), &out));
  }
  return out;
}

absl::StatusOr<FilterOverrides> CompileFilterOverrides(
    const google::protobuf::Map<std::string, Any>& per_filter, absl::string_view where) {
  FilterOverrides out;
  for (const auto& [name, any] : per_filter) {
    const std::string at = absl::StrCat(where, ": typed_per_filter_config '", name, "'");
    RETURN_IF_ERROR(CompileOverride(any, at, name, &out));
  }
  return out;
}

FilterOverrides MergeOverrides(const FilterOverrides& own, const FilterOverrides& base) {
  FilterOverrides merged = own;
  if (own.fault == nullptr && !own.fault_disabled) {
    merged.fault = base.fault;
    merged.fault_disabled = base.fault_disabled;
  }
  if (own.cors == nullptr && !own.cors_disabled) {
    merged.cors = base.cors;
    merged.cors_disabled = base.cors_disabled;
  }
  for (const RbacOverride& wider : base.rbac) {
    const bool named = std::any_of(own.rbac.begin(), own.rbac.end(), [&](const RbacOverride& mine) {
      return mine.filter == wider.filter;
    });
    if (!named) merged.rbac.push_back(wider);
  }
  return merged;
}

}  // namespace meltemi::proxy
