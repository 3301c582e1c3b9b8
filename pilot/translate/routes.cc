#include "pilot/translate/routes.h"

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "envoy/config/route/v3/route.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/translate/metadata.h"
#include "pilot/translate/route_action.h"
#include "pilot/translate/route_match.h"
#include "pilot/translate/traffic_policy.h"

namespace meltemi::pilot {
namespace {

using envoy::config::route::v3::Route;
using envoy::config::route::v3::RouteConfiguration;
using envoy::config::route::v3::VirtualHost;

constexpr uint32_t kDirectResponseBodyBytesMax = 1024 * 1024;
constexpr uint32_t kDefaultHttpPort = 80;

std::string RouteName(const networking::HTTPRoute& route,
                      const networking::HTTPMatchRequest* match) {
  if (match == nullptr || match->name().empty()) return route.name();
  return route.name().empty() ? match->name() : absl::StrCat(route.name(), ".", match->name());
}

void AppendRoutes(const VirtualService& rule, const RuleSite& site, const Scope& scope,
                  ProxyKind kind, const std::string& host, std::vector<Route>* out) {
  const auto add = [&](const networking::HTTPRoute& route,
                       const networking::HTTPMatchRequest* match) {
    Route translated;
    translated.set_name(RouteName(route, match));
    static const auto& all = *new networking::HTTPMatchRequest();
    TranslateMatch(match != nullptr ? *match : all, translated.mutable_match());
    TranslateAction(route, scope, site.port, kind, &translated);
    if (match != nullptr) translated.set_stat_prefix(match->stat_prefix());
    SetIstioText("config", ConfigPath(rule.meta), translated.mutable_metadata());
    translated.mutable_decorator()->set_operation(absl::StrCat(host, ":", site.port, "/*"));
    out->push_back(std::move(translated));
  };
  for (const auto& route : rule.spec->http()) {
    if (route.match().empty()) add(route, nullptr);
    for (const auto& match : route.match()) {
      if (AppliesAt(match, site)) add(route, &match);
    }
    if (!out->empty() && MatchesAll(out->back().match())) return;  // the rest is unreachable
  }
}

Route DefaultRoute(const Service& service, uint32_t port, const Scope& scope, ProxyKind kind) {
  Route route;
  route.set_name("default");
  route.mutable_match()->set_prefix("/");
  const DestinationRulePtr rule = scope.FindRule(service.host);
  RouteToCluster(OutboundClusterName(port, "", service.host), ResolvePolicy(rule.get(), port, ""),
                 kind, &route);
  route.mutable_decorator()->set_operation(absl::StrCat(service.host, ":", port, "/*"));
  return route;
}

void AddDomain(std::string name, uint32_t port, std::vector<std::string>* out) {
  out->push_back(absl::StrCat(name, ":", port));
  out->insert(out->end() - 1, std::move(name));
}

// Collects the virtual hosts of one sidecar route configuration; a domain belongs to the first that
// claims it.
class OutboundRouteBuilder {
 public:
  OutboundRouteBuilder(const Scope& scope, uint32_t port, RouteConfiguration* out)
      : scope_(scope), port_(port), out_(*out) {}

  void AddServices() {
    for (const ServicePtr& service : scope_.services) {
      const ServicePort* port = service->FindPort(port_);
      if (port == nullptr || !(IsHttp(port->protocol) || IsSniffed(port->protocol))) continue;
      VirtualHost host = Build(service->host, service.get());
      std::vector<std::string> domains =
          DomainsFor(service->host, service->addresses, port_, scope_.ns, Domain());
      if (service->headless && !IsWildcard(service->host)) {
        AddDomain(absl::StrCat("*.", service->host), port_, &domains);
      }
      Claim(domains, &host);
    }
  }

  // Hosts that VirtualServices give and no service has: on port 80, as in Istio.
  void AddUnknownHosts() {
    std::set<std::string> done;
    for (const VirtualServicePtr& rule : scope_.virtual_services) {
      if (rule->spec->http().empty() || !rule->AppliesTo("mesh")) continue;
      for (const std::string& name : rule->hosts) {
        if (!done.insert(name).second) continue;
        const ServicePtr service = scope_.FindService(name);
        if (service != nullptr && service->FindPort(port_) != nullptr) continue;
        if (service != nullptr || port_ != kDefaultHttpPort) continue;
        VirtualHost host = Build(name, nullptr);
        if (host.routes().empty()) continue;
        Claim(DomainsFor(name, {}, port_, scope_.ns, Domain()), &host);
      }
    }
  }

  void AddSniffed(const Service& service) {
    VirtualHost host = Build(service.host, &service);
    host.add_domains("*");
    *out_.add_virtual_hosts() = std::move(host);
  }

 private:
  const std::string& Domain() const { return scope_.snapshot->mesh->domain; }

  VirtualHost Build(const std::string& host, const Service* service) const {
    return BuildVirtualHost(host, service, port_, scope_.RulesFor(host, "mesh"), "mesh", scope_,
                            ProxyKind::kSidecar);
  }

  void Claim(const std::vector<std::string>& domains, VirtualHost* host) {
    for (const std::string& domain : domains) {
      if (claimed_.insert(domain).second) host->add_domains(domain);
    }
    if (!host->domains().empty()) *out_.add_virtual_hosts() = std::move(*host);
  }

  const Scope& scope_;
  const uint32_t port_;
  RouteConfiguration& out_;
  std::set<std::string> claimed_;
};

}  // namespace

void SetRouteDefaults(absl::string_view name, RouteConfiguration* out) {
  out->set_name(std::string(name));
  out->mutable_validate_clusters()->set_value(false);
  out->mutable_max_direct_response_body_size_bytes()->set_value(kDirectResponseBodyBytesMax);
}

std::vector<std::string> DomainsFor(absl::string_view host,
                                    const std::vector<std::string>& addresses, uint32_t port,
                                    absl::string_view client_ns, absl::string_view domain) {
  std::vector<std::string> result;
  if (host == "*") return {"*"};
  AddDomain(std::string(host), port, &result);
  const std::string suffix = absl::StrCat(".svc.", domain);
  if (absl::EndsWith(host, suffix) && !IsWildcard(host)) {
    const absl::string_view name_and_ns = host.substr(0, host.size() - suffix.size());
    const size_t dot = name_and_ns.rfind('.');
    if (dot != absl::string_view::npos) {
      if (name_and_ns.substr(dot + 1) == client_ns) {
        AddDomain(std::string(name_and_ns.substr(0, dot)), port, &result);
      }
      AddDomain(absl::StrCat(name_and_ns, ".svc"), port, &result);
      AddDomain(std::string(name_and_ns), port, &result);
    }
  }
  for (const std::string& address : addresses) {
    const bool v6 = address.find(':') != std::string::npos;
    AddDomain(v6 ? absl::StrCat("[", address, "]") : address, port, &result);
  }
  return result;
}

void OrderRoutes(std::vector<Route>* routes) {
  const auto first_all =
      std::stable_partition(routes->begin(), routes->end(),
                            [](const Route& route) { return !MatchesAll(route.match()); });
  if (first_all != routes->end()) routes->erase(first_all + 1, routes->end());
}

VirtualHost BuildVirtualHost(const std::string& host, const Service* service, uint32_t port,
                             const std::vector<VirtualServicePtr>& rules,
                             const std::string& gateway, const Scope& scope, ProxyKind kind) {
  VirtualHost result;
  result.set_name(absl::StrCat(host, ":", port));
  result.set_include_request_attempt_count(true);
  const RuleSite site{gateway, scope.ns, scope.labels, port};
  std::vector<Route> routes;
  bool has_http = false;
  for (const VirtualServicePtr& rule : rules) {
    has_http = has_http || !rule->spec->http().empty();
    std::vector<Route> own;
    AppendRoutes(*rule, site, scope, kind, host, &own);
    std::move(own.begin(), own.end(), std::back_inserter(routes));
  }
  if (rules.size() > 1) OrderRoutes(&routes);
  if (!has_http && service != nullptr) routes.push_back(DefaultRoute(*service, port, scope, kind));
  for (Route& route : routes) *result.add_routes() = std::move(route);
  return result;
}

VirtualHost FallbackVirtualHost(OutboundPolicy policy) {
  VirtualHost host;
  host.add_domains("*");
  host.set_include_request_attempt_count(true);
  Route& route = *host.add_routes();
  route.mutable_match()->set_prefix("/");
  if (policy == OutboundPolicy::kAllowAny) {
    host.set_name("allow_any");
    route.mutable_route()->set_cluster(std::string(kPassthroughCluster));
    route.mutable_route()->mutable_timeout();
    route.mutable_route()->mutable_max_stream_duration()->mutable_grpc_timeout_header_max();
  } else {
    host.set_name("block_all");
    route.mutable_direct_response()->set_status(502);
  }
  route.set_name(host.name());
  return host;
}

ResourcePtr BuildOutboundRoute(absl::string_view name, const Scope& scope) {
  RouteConfiguration configuration;
  SetRouteDefaults(name, &configuration);
  const size_t colon = name.rfind(':');
  const absl::string_view number = colon == absl::string_view::npos ? name : name.substr(colon + 1);
  uint32_t port = 0;
  if (!absl::SimpleAtoi(number, &port) || port == 0 || port > 65535) return nullptr;
  OutboundRouteBuilder builder(scope, port, &configuration);
  if (colon == absl::string_view::npos) {
    builder.AddServices();
    builder.AddUnknownHosts();
    *configuration.add_virtual_hosts() = FallbackVirtualHost(scope.outbound_policy);
  } else if (const ServicePtr service = scope.FindService(name.substr(0, colon))) {
    builder.AddSniffed(*service);
  } else {
    return nullptr;
  }
  return MakeResource(std::string(name), configuration);
}

void FillInboundRoute(const InboundPort& port, const std::string& cluster,
                      RouteConfiguration* out) {
  SetRouteDefaults(cluster, out);
  out->clear_max_direct_response_body_size_bytes();
  VirtualHost& host = *out->add_virtual_hosts();
  host.set_name(absl::StrCat("inbound|http|", port.service_port));
  host.add_domains("*");
  Route& route = *host.add_routes();
  route.set_name("default");
  route.mutable_match()->set_prefix("/");
  auto& action = *route.mutable_route();
  action.set_cluster(cluster);
  action.mutable_timeout();
  action.mutable_max_stream_duration()->mutable_grpc_timeout_header_max();
  const std::string name = port.services.empty() ? cluster : port.services[0]->host;
  route.mutable_decorator()->set_operation(absl::StrCat(name, ":", port.service_port, "/*"));
}

}  // namespace meltemi::pilot
