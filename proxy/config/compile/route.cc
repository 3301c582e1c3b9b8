#include "proxy/config/compile/route.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "proxy/config/compile/context.h"
#include "proxy/config/compile/filters.h"
#include "proxy/config/compile/header_ops.h"
#include "proxy/config/compile/route_action.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"

namespace meltemi::proxy {
namespace {

namespace route_v3 = envoy::config::route::v3;

// What a table or virtual host says for all routes below it and a route may say better.
struct Inherited {
  std::vector<MirrorPolicy> mirrors;
  uint32_t buffer_bytes = 0;
};

absl::Status CompileAction(const route_v3::Route& config, const std::string& where,
                           const CompileContext& context, uint32_t body_bytes_max, Route* route) {
  switch (config.action_case()) {
    case route_v3::Route::kRoute:
      return CompileRouteAction(config.route(), absl::StrCat(where, ": route"), context, route);
    case route_v3::Route::kRedirect: {
      route->action = Route::Action::kRedirect;
      ASSIGN_OR_RETURN(route->redirect,
                       CompileRedirect(config.redirect(), absl::StrCat(where, ": redirect")));
      return absl::OkStatus();
    }
    case route_v3::Route::kDirectResponse: {
      route->action = Route::Action::kDirectResponse;
      ASSIGN_OR_RETURN(
          route->direct,
          CompileDirectResponse(config.direct_response(), absl::StrCat(where, ": direct_response"),
                                body_bytes_max));
      return absl::OkStatus();
    }
    case route_v3::Route::kNonForwardingAction:
      route->action = Route::Action::kNonForwarding;
      return absl::OkStatus();
    default:
      return absl::InvalidArgumentError(absl::StrCat(where, ": no action is set"));
  }
}

absl::StatusOr<std::unique_ptr<Route>> CompileRoute(const route_v3::Route& config,
                                                    const std::string& where,
                                                    const CompileContext& context,
                                                    uint32_t body_bytes_max) {
  // tracing: nothing is traced here, so its sampling decides nothing.
  RETURN_IF_ERROR(CheckSupported(
      config, where,
      {"name", "match", "route", "redirect", "direct_response", "non_forwarding_action",
       "metadata.**", "decorator.**", "typed_per_filter_config", "request_headers_to_add",
       "request_headers_to_remove", "response_headers_to_add", "response_headers_to_remove",
       "tracing.**", "per_request_buffer_limit_bytes.**"}));
  auto route = std::make_unique<Route>();
  route->name = config.name();
  route->decorator_operation = config.decorator().operation();
  ASSIGN_OR_RETURN(route->match, CompileRouteMatch(config.match(), absl::StrCat(where, ": match")));
  RETURN_IF_ERROR(CompileAction(config, where, context, body_bytes_max, route.get()));
  ASSIGN_OR_RETURN(
      route->own_request_ops,
      CompileHeaderOps(config.request_headers_to_add(), config.request_headers_to_remove(), where,
                       "request_headers", context.environment));
  ASSIGN_OR_RETURN(
      route->own_response_ops,
      CompileHeaderOps(config.response_headers_to_add(), config.response_headers_to_remove(), where,
                       "response_headers", context.environment));
  ASSIGN_OR_RETURN(route->filters, CompileFilterOverrides(config.typed_per_filter_config(), where));
  if (config.has_per_request_buffer_limit_bytes()) {
    route->retry_shadow_buffer_bytes = config.per_request_buffer_limit_bytes().value();
  }
  return route;
}

// Resolves what the route takes from the levels above it.
void Inherit(const RouteTable& table, const VirtualHost& host, const Inherited& from_table,
             const Inherited& from_host, Route* route) {
  using Levels = std::initializer_list<const HeaderOps*>;
  for (const HeaderOps* ops :
       Levels{&route->own_request_ops, &host.request_ops, &table.request_ops}) {
    if (!ops->empty()) route->request_ops.push_back(ops);
  }
  for (const HeaderOps* ops :
       Levels{&route->own_response_ops, &host.response_ops, &table.response_ops}) {
    if (!ops->empty()) route->response_ops.push_back(ops);
  }
  route->cors = route->own_cors != nullptr ? route->own_cors.get() : host.cors.get();
  route->filters = MergeOverrides(route->filters, MergeOverrides(host.filters, table.filters));
  for (WeightedCluster& cluster : route->clusters) {
    cluster.filters = MergeOverrides(cluster.filters, route->filters);
  }
  if (route->action != Route::Action::kForward) return;
  if (route->retry == nullptr) route->retry = host.retry;
  if (route->mirrors.empty()) {
    route->mirrors = from_host.mirrors.empty() ? from_table.mirrors : from_host.mirrors;
  }
  if (route->retry_shadow_buffer_bytes == 0) {
    route->retry_shadow_buffer_bytes = from_host.buffer_bytes;
  }
}

absl::Status CompileHostFields(const route_v3::VirtualHost& config, const std::string& where,
                               const CompileContext& context, VirtualHost* host,
                               Inherited* inherited) {
  RETURN_IF_ERROR(CheckSupported(
      config, where,
      {"name", "domains", "routes", "require_tls", "request_headers_to_add",
       "request_headers_to_remove", "response_headers_to_add", "response_headers_to_remove", "cors",
       "typed_per_filter_config", "include_request_attempt_count",
       "include_attempt_count_in_response", "retry_policy", "per_request_buffer_limit_bytes.**",
       "request_mirror_policies", "metadata.**"}));
  host->name = config.name();
  if (config.domains().empty()) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": 'domains' is empty"));
  }
  if (config.require_tls() == route_v3::VirtualHost::EXTERNAL_ONLY) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": 'require_tls: EXTERNAL_ONLY' is not supported"));
  }
  host->require_tls_all = config.require_tls() == route_v3::VirtualHost::ALL;
  host->include_attempt_count_request = config.include_request_attempt_count();
  host->include_attempt_count_response = config.include_attempt_count_in_response();
  ASSIGN_OR_RETURN(host->request_ops, CompileHeaderOps(config.request_headers_to_add(),
                                                       config.request_headers_to_remove(), where,
                                                       "request_headers", context.environment));
  ASSIGN_OR_RETURN(host->response_ops, CompileHeaderOps(config.response_headers_to_add(),
                                                        config.response_headers_to_remove(), where,
                                                        "response_headers", context.environment));
  if (config.has_cors()) {
    ASSIGN_OR_RETURN(host->cors, CompileCorsPolicy(config.cors(), absl::StrCat(where, ": cors")));
  }
  if (config.has_retry_policy()) {
    ASSIGN_OR_RETURN(host->retry, CompileRetryPolicy(config.retry_policy(),
                                                     absl::StrCat(where, ": retry_policy")));
  }
  ASSIGN_OR_RETURN(host->filters, CompileFilterOverrides(config.typed_per_filter_config(), where));
  ASSIGN_OR_RETURN(inherited->mirrors, CompileMirrors(config.request_mirror_policies(), where));
  if (config.has_per_request_buffer_limit_bytes()) {
    inherited->buffer_bytes = config.per_request_buffer_limit_bytes().value();
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<VirtualHost>> CompileVirtualHost(const route_v3::VirtualHost& config,
                                                                const std::string& table_where,
                                                                const CompileContext& context,
                                                                const RouteTable& table,
                                                                const Inherited& from_table) {
  const std::string where = absl::StrCat(table_where, ", virtual host '", config.name(), "'");
  auto host = std::make_unique<VirtualHost>();
  Inherited inherited;
  RETURN_IF_ERROR(CompileHostFields(config, where, context, host.get(), &inherited));
  host->routes.reserve(static_cast<size_t>(config.routes_size()));
  for (int i = 0; i < config.routes_size(); ++i) {
    const route_v3::Route& route_config = config.routes(i);
    const std::string at = route_config.name().empty() ? absl::StrCat(where, ", routes[", i, "]")
                                                       : absl::StrCat(where, ", routes[", i, "] '",
                                                                      route_config.name(), "'");
    ASSIGN_OR_RETURN(std::unique_ptr<Route> route,
                     CompileRoute(route_config, at, context, table.direct_response_body_bytes_max));
    Inherit(table, *host, from_table, inherited, route.get());
    host->routes.push_back(std::move(route));
  }
  return host;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const RouteTable>> CompileRouteTable(
    const route_v3::RouteConfiguration& config, const CompileContext& context) {
  const std::string where = absl::StrCat("route table '", config.name(), "'");
  // validate_clusters: a missing cluster is told per request; validation changes no routing.
  RETURN_IF_ERROR(CheckSupported(
      config, where,
      {"name", "virtual_hosts", "request_headers_to_add", "request_headers_to_remove",
       "response_headers_to_add", "response_headers_to_remove", "validate_clusters.**",
       "max_direct_response_body_size_bytes.**", "request_mirror_policies",
       "ignore_port_in_host_matching", "typed_per_filter_config", "metadata.**"}));
  auto table = std::make_shared<RouteTable>();
  table->name = config.name();
  table->ignore_port_in_host = config.ignore_port_in_host_matching();
  if (config.has_max_direct_response_body_size_bytes()) {
    table->direct_response_body_bytes_max = config.max_direct_response_body_size_bytes().value();
  }
  ASSIGN_OR_RETURN(table->request_ops, CompileHeaderOps(config.request_headers_to_add(),
                                                        config.request_headers_to_remove(), where,
                                                        "request_headers", context.environment));
  ASSIGN_OR_RETURN(table->response_ops, CompileHeaderOps(config.response_headers_to_add(),
                                                         config.response_headers_to_remove(), where,
                                                         "response_headers", context.environment));
  ASSIGN_OR_RETURN(table->filters, CompileFilterOverrides(config.typed_per_filter_config(), where));
  Inherited inherited;
  ASSIGN_OR_RETURN(inherited.mirrors, CompileMirrors(config.request_mirror_policies(), where));
  std::vector<std::vector<std::string>> domains;
  for (const route_v3::VirtualHost& host_config : config.virtual_hosts()) {
    ASSIGN_OR_RETURN(std::unique_ptr<VirtualHost> host,
                     CompileVirtualHost(host_config, where, context, *table, inherited));
    table->virtual_hosts.push_back(std::move(host));
    domains.emplace_back(host_config.domains().begin(), host_config.domains().end());
  }
  RETURN_IF_ERROR(table->BuildIndex(domains));
  return std::shared_ptr<const RouteTable>(std::move(table));
}

}  // namespace meltemi::proxy
