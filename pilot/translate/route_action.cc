#include "pilot/translate/route_action.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/translate/header_operations.h"
#include "pilot/translate/metadata.h"
#include "pilot/translate/retry.h"
#include "pilot/translate/route_filters.h"

namespace meltemi::pilot {
namespace {

using envoy::config::route::v3::RedirectAction;
using envoy::config::route::v3::Route;
using envoy::config::route::v3::RouteAction;

uint32_t DestinationPort(const networking::Destination& destination, const Scope& scope,
                         uint32_t listen_port) {
  if (destination.port().number() != 0) return destination.port().number();
  const ServicePtr service = scope.FindService(destination.host());
  if (service != nullptr && service->ports.size() == 1) return service->ports[0].number;
  return listen_port;
}

EffectivePolicy PolicyFor(const networking::Destination& destination, const Scope& scope,
                          uint32_t listen_port) {
  const DestinationRulePtr rule = scope.FindRule(destination.host());
  return ResolvePolicy(rule.get(), DestinationPort(destination, scope, listen_port),
                       destination.subset());
}

void AddHashPolicy(const EffectivePolicy& policy, RouteAction* action) {
  const auto* hash = policy.consistent_hash();
  if (hash == nullptr) return;
  auto* out = action->add_hash_policy();
  switch (hash->hash_key_case()) {
    case networking::LoadBalancerSettings::ConsistentHashLB::kHttpHeaderName:
      out->mutable_header()->set_header_name(hash->http_header_name());
      break;
    case networking::LoadBalancerSettings::ConsistentHashLB::kHttpCookie: {
      auto& cookie = *out->mutable_cookie();
      cookie.set_name(hash->http_cookie().name());
      cookie.set_path(hash->http_cookie().path());
      if (hash->http_cookie().has_ttl()) *cookie.mutable_ttl() = hash->http_cookie().ttl();
      for (const auto& attribute : hash->http_cookie().attributes()) {
        auto* added = cookie.add_attributes();
        added->set_name(attribute.name());
        added->set_value(attribute.value());
      }
      break;
    }
    case networking::LoadBalancerSettings::ConsistentHashLB::kUseSourceIp:
      out->mutable_connection_properties()->set_source_ip(hash->use_source_ip());
      break;
    case networking::LoadBalancerSettings::ConsistentHashLB::kHttpQueryParameterName:
      out->mutable_query_parameter()->set_name(hash->http_query_parameter_name());
      break;
    case networking::LoadBalancerSettings::ConsistentHashLB::HASH_KEY_NOT_SET:
      action->mutable_hash_policy()->RemoveLast();
      break;
  }
}

RedirectAction::RedirectResponseCode RedirectCode(uint32_t code) {
  switch (code) {
    case 302:
      return RedirectAction::FOUND;
    case 303:
      return RedirectAction::SEE_OTHER;
    case 307:
      return RedirectAction::TEMPORARY_REDIRECT;
    case 308:
      return RedirectAction::PERMANENT_REDIRECT;
    default:
      return RedirectAction::MOVED_PERMANENTLY;
  }
}

void TranslateRedirect(const networking::HTTPRedirect& redirect, uint32_t listen_port,
                       RedirectAction* out) {
  constexpr absl::string_view kPrefixForm = "%PREFIX()%";
  if (!redirect.prefix_rewrite().empty()) {
    out->set_prefix_rewrite(redirect.prefix_rewrite());
  } else if (absl::StartsWith(redirect.uri(), kPrefixForm)) {
    out->set_prefix_rewrite(redirect.uri().substr(kPrefixForm.size()));
  } else if (!redirect.uri().empty()) {
    out->set_path_redirect(redirect.uri());
  }
  out->set_host_redirect(redirect.authority());
  if (!redirect.scheme().empty()) out->set_scheme_redirect(redirect.scheme());
  if (redirect.port() != 0) {
    out->set_port_redirect(redirect.port());
  } else if (redirect.has_derive_port() &&
             redirect.derive_port() == networking::HTTPRedirect::FROM_REQUEST_PORT) {
    out->set_port_redirect(listen_port);
  }
  out->set_response_code(RedirectCode(redirect.redirect_code()));
}

void TranslateRewrite(const networking::HTTPRewrite& rewrite, RouteAction* out) {
  if (rewrite.has_uri_regex_rewrite()) {
    auto& regex = *out->mutable_regex_rewrite();
    regex.mutable_pattern()->set_regex(rewrite.uri_regex_rewrite().match());
    regex.set_substitution(rewrite.uri_regex_rewrite().rewrite());
  } else if (!rewrite.uri().empty()) {
    out->set_prefix_rewrite(rewrite.uri());
  }
  if (!rewrite.authority().empty()) out->set_host_rewrite_literal(rewrite.authority());
}

void SetTimeouts(const networking::HTTPRoute& route, ProxyKind kind, RouteAction* out) {
  // No time-out is the default, said outright: Envoy's own would be 15 s.
  *out->mutable_timeout() = route.timeout();
  if (kind == ProxyKind::kProxyless) {
    *out->mutable_max_stream_duration()->mutable_max_stream_duration() = route.timeout();
  } else {
    // Envoy ignores `timeout` where max_stream_duration is set, so the older field it is.
    *out->mutable_max_grpc_timeout() = route.timeout();
  }
}

// Several destinations: one cluster by weight each. Those of weight 0 get nothing and are left out.
void TranslateWeighted(const networking::HTTPRoute& route, const Scope& scope, uint32_t listen_port,
                       RouteAction* out) {
  for (const auto& target : route.route()) {
    if (target.weight() <= 0) continue;
    auto* weighted = out->mutable_weighted_clusters()->add_clusters();
    weighted->set_name(DestinationCluster(target.destination(), scope, listen_port));
    weighted->mutable_weight()->set_value(static_cast<uint32_t>(target.weight()));
    if (!target.has_headers()) continue;
    const std::string host = AddHeaderOperations(target.headers(), weighted);
    if (!host.empty()) weighted->set_host_rewrite_literal(host);
  }
}

void TranslateForward(const networking::HTTPRoute& route, const Scope& scope, uint32_t listen_port,
                      ProxyKind kind, Route* out) {
  RouteAction& action = *out->mutable_route();
  SetTimeouts(route, kind, &action);
  if (route.has_rewrite()) TranslateRewrite(route.rewrite(), &action);
  int with_weight = 0;
  const networking::HTTPRouteDestination* only = &route.route(0);
  for (const auto& target : route.route()) {
    if (target.weight() <= 0) continue;
    ++with_weight;
    only = &target;
  }
  if (with_weight > 1) {
    TranslateWeighted(route, scope, listen_port, &action);
  } else {
    action.set_cluster(DestinationCluster(only->destination(), scope, listen_port));
    if (only->has_headers()) {
      const std::string host = AddHeaderOperations(only->headers(), out);
      if (!host.empty()) action.set_host_rewrite_literal(host);
    }
  }
  for (const auto& target : route.route()) {
    if (with_weight > 1 ? target.weight() <= 0 : &target != only) continue;
    AddHashPolicy(PolicyFor(target.destination(), scope, listen_port), &action);
  }
  SetRetryPolicy(route.has_retries() ? &route.retries() : nullptr, !action.hash_policy().empty(),
                 &action);
  AddMirrors(route, scope, listen_port, &action);
}

}  // namespace

std::string DestinationCluster(const networking::Destination& destination, const Scope& scope,
                               uint32_t listen_port) {
  return OutboundClusterName(DestinationPort(destination, scope, listen_port), destination.subset(),
                             destination.host());
}

void TranslateAction(const networking::HTTPRoute& route, const Scope& scope, uint32_t listen_port,
                     ProxyKind kind, Route* out) {
  if (route.has_redirect()) {
    TranslateRedirect(route.redirect(), listen_port, out->mutable_redirect());
  } else if (route.has_direct_response()) {
    auto& response = *out->mutable_direct_response();
    response.set_status(route.direct_response().status());
    const auto& body = route.direct_response().body();
    if (body.has_string()) response.mutable_body()->set_inline_string(body.string());
    if (body.has_bytes()) response.mutable_body()->set_inline_bytes(body.bytes());
  } else if (route.route_size() > 0) {
    TranslateForward(route, scope, listen_port, kind, out);
  } else {
    // Nothing to do is nothing to find; validation reports it.
    out->mutable_direct_response()->set_status(404);
  }
  if (route.has_headers()) {
    const std::string host = AddHeaderOperations(route.headers(), out);
    if (!host.empty() && out->has_route()) out->mutable_route()->set_host_rewrite_literal(host);
  }
  AddRouteFilters(route, out);
}

envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy TcpProxyTo(
    const VirtualService& rule,
    const google::protobuf::RepeatedPtrField<networking::RouteDestination>& destinations,
    const Scope& scope, uint32_t listen_port) {
  envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy proxy;
  if (destinations.size() == 1) {
    proxy.set_cluster(DestinationCluster(destinations[0].destination(), scope, listen_port));
    proxy.set_stat_prefix(proxy.cluster());
    return proxy;
  }
  proxy.set_stat_prefix(absl::StrCat(rule.meta.name, ".", rule.meta.ns));
  for (const auto& target : destinations) {
    if (target.weight() <= 0) continue;
    auto* cluster = proxy.mutable_weighted_clusters()->add_clusters();
    cluster->set_name(DestinationCluster(target.destination(), scope, listen_port));
    cluster->set_weight(static_cast<uint32_t>(target.weight()));
  }
  return proxy;
}

void RouteToCluster(const std::string& cluster, const EffectivePolicy& policy, ProxyKind kind,
                    Route* out) {
  RouteAction& action = *out->mutable_route();
  action.set_cluster(cluster);
  SetTimeouts(networking::HTTPRoute(), kind, &action);
  AddHashPolicy(policy, &action);
  SetRetryPolicy(nullptr, policy.consistent_hash() != nullptr, &action);
}

}  // namespace meltemi::pilot
