#include "pilot/translate/gateway.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "networking/v1/gateway.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/model/endpoint_list.h"
#include "pilot/translate/metadata.h"
#include "pilot/translate/route_action.h"
#include "pilot/translate/route_match.h"
#include "pilot/translate/routes.h"

namespace meltemi::pilot {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
namespace tcp = envoy::extensions::filters::network::tcp_proxy::v3;
using envoy::config::listener::v3::Listener;
using envoy::config::route::v3::RouteConfiguration;
using envoy::config::route::v3::VirtualHost;

constexpr absl::string_view kRoutePrefix = "http.";

struct BoundServer {
  std::string gateway;  // "NS/NAME"
  std::string gateway_ns;
  const networking::Server* server = nullptr;  // owned by the Gateway in the snapshot
};

// The port on which the proxy listens for what arrives at the gateway service's `port`.
uint32_t ListenPort(uint32_t port, const ProxyNode& node, const Snapshot& snapshot) {
  Workload self;
  self.meta.labels = node.labels;
  for (const std::string& address : node.addresses) {
    if (const WorkloadPtr known = snapshot.workloads->FindByAddress(address)) self = *known;
  }
  for (const ServicePtr& service : snapshot.services->SelectingIn(node.ns)) {
    if (!LabelsMatch(service->selector, node.labels)) continue;
    const ServicePort* declared = service->FindPort(port);
    if (declared == nullptr) continue;
    if (const uint32_t target = TargetOnWorkload(*declared, self); target != 0) return target;
  }
  return port;
}

bool IsPlainHttp(const networking::Server& server) {
  return !server.has_tls() && IsHttp(ParseProtocol(server.port().protocol()));
}

bool RedirectsToHttps(const networking::Server& server) {
  return server.tls().https_redirect() && IsHttp(ParseProtocol(server.port().protocol()));
}

bool IsPlainTcp(const networking::Server& server) {
  return !server.has_tls() && ParseProtocol(server.port().protocol()) == Protocol::kTcp;
}

// The servers that this proxy opens, by listening port, in order of creation.
std::map<uint32_t, std::vector<BoundServer>> ServersOf(const ProxyNode& node, const Scope& scope) {
  std::map<uint32_t, std::vector<BoundServer>> result;
  for (const GatewayPtr& gateway : scope.snapshot->rules->gateways()) {
    if (!LabelsMatch(gateway->selector, node.labels)) continue;
    for (const auto& server : gateway->spec->servers()) {
      const uint32_t port = ListenPort(server.port().number(), node, *scope.snapshot);
      result[port].push_back(
          {absl::StrCat(gateway->meta.ns, "/", gateway->meta.name), gateway->meta.ns, &server});
    }
  }
  return result;
}

// A server's host is "HOST" or "NS/HOST", where NS says whose VirtualServices may bind.
bool ServerTakes(const BoundServer& bound, const VirtualService& rule, const std::string& host) {
  for (absl::string_view word : bound.server->hosts()) {
    const size_t slash = word.find('/');
    if (slash != absl::string_view::npos) {
      const absl::string_view ns = word.substr(0, slash);
      if (ns == "." ? rule.meta.ns != bound.gateway_ns : ns != "*" && ns != rule.meta.ns) continue;
      word.remove_prefix(slash + 1);
    }
    if (HostsOverlap(word, host)) return true;
  }
  return false;
}

std::vector<std::string> GatewayDomains(const std::string& host) {
  if (host == "*") return {"*"};
  if (IsWildcard(host)) return {host};
  return {host, absl::StrCat(host, ":*")};
}

// Virtual hosts of one listening port, by host name.
class GatewayRoutes {
 public:
  GatewayRoutes(const Scope& scope, RouteConfiguration* out) : scope_(scope), out_(*out) {}

  void Add(const BoundServer& bound) {
    if (RedirectsToHttps(*bound.server)) {
      AddHttpsRedirect(bound);
      return;
    }
    if (!IsPlainHttp(*bound.server)) return;
    for (const VirtualServicePtr& rule : scope_.virtual_services) {
      if (rule->spec->http().empty() || !rule->AppliesTo(bound.gateway)) continue;
      for (const std::string& host : rule->hosts) {
        if (!ServerTakes(bound, *rule, host) || !done_.insert(host).second) continue;
        AddHost(bound, host);
      }
    }
  }

  // A port without any route still answers: with 404.
  void Finish(uint32_t port) {
    if (done_.contains("*")) return;
    VirtualHost& host = *out_.add_virtual_hosts();
    host.set_name(absl::StrCat("blackhole:", port));
    host.add_domains("*");
  }

 private:
  void AddHost(const BoundServer& bound, const std::string& host) {
    VirtualHost built = BuildVirtualHost(host, nullptr, bound.server->port().number(),
                                         scope_.RulesFor(host, bound.gateway), bound.gateway,
                                         scope_, ProxyKind::kGateway);
    for (std::string& domain : GatewayDomains(host)) built.add_domains(std::move(domain));
    *out_.add_virtual_hosts() = std::move(built);
  }

  void AddHttpsRedirect(const BoundServer& bound) {
    for (const std::string& word : bound.server->hosts()) {
      const std::string host = word.substr(word.find('/') + 1);
      if (!done_.insert(host).second) continue;
      VirtualHost& redirect = *out_.add_virtual_hosts();
      redirect.set_name(absl::StrCat(host, ":", bound.server->port().number()));
      for (std::string& domain : GatewayDomains(host)) redirect.add_domains(std::move(domain));
      redirect.set_require_tls(VirtualHost::ALL);
    }
  }

  const Scope& scope_;
  RouteConfiguration& out_;
  std::set<std::string> done_;
};

ResourcePtr HttpListener(uint32_t port, const AccessLogSettings& log) {
  hcm::HttpConnectionManager manager;
  FillHttpManager(absl::StrCat("outbound_0.0.0.0_", port), log, false, &manager);
  // A gateway is the edge: what clients claim about themselves is not believed.
  manager.mutable_use_remote_address()->set_value(true);
  const std::string route = absl::StrCat(kRoutePrefix, port);
  UseRds(route, &manager);
  Listener listener;
  listener.set_name(absl::StrCat("0.0.0.0_", port));
  SetAddress("0.0.0.0", port, &listener);
  listener.set_traffic_direction(envoy::config::core::v3::OUTBOUND);
  AddHttpFilter(manager, listener.add_filter_chains());
  std::string name = listener.name();
  return MakeResource(std::move(name), listener, {route});
}

// Null if no VirtualService says where its connections go.
ResourcePtr TcpListener(uint32_t port, const BoundServer& bound, const Scope& scope,
                        const AccessLogSettings& log) {
  const RuleSite site{bound.gateway, scope.ns, scope.labels, bound.server->port().number()};
  for (const VirtualServicePtr& rule : scope.virtual_services) {
    if (!rule->AppliesTo(bound.gateway)) continue;
    for (const auto& route : rule->spec->tcp()) {
      const bool applies =
          route.match().empty() || std::any_of(route.match().begin(), route.match().end(),
                                               [&](const auto& m) { return AppliesAt(m, site); });
      if (!applies || route.route().empty()) continue;
      Listener listener;
      listener.set_name(absl::StrCat("0.0.0.0_", port));
      SetAddress("0.0.0.0", port, &listener);
      listener.set_traffic_direction(envoy::config::core::v3::OUTBOUND);
      tcp::TcpProxy proxy = TcpProxyTo(*rule, route, scope, site.port);
      AddAccessLog(log, &proxy);
      AddTcpFilter(proxy, listener.add_filter_chains());
      return MakeResource(absl::StrCat("0.0.0.0_", port), listener);
    }
  }
  return nullptr;
}

}  // namespace

std::vector<ResourcePtr> BuildGatewayListeners(const ProxyNode& node, const Scope& scope,
                                               const AccessLogSettings& log) {
  std::vector<ResourcePtr> result;
  for (const auto& [port, servers] : ServersOf(node, scope)) {
    const bool http = std::any_of(servers.begin(), servers.end(), [](const BoundServer& bound) {
      return IsPlainHttp(*bound.server) || RedirectsToHttps(*bound.server);
    });
    if (http) {
      result.push_back(HttpListener(port, log));
    } else if (IsPlainTcp(*servers[0].server)) {
      if (ResourcePtr made = TcpListener(port, servers[0], scope, log)) {
        result.push_back(std::move(made));
      }
    }
  }
  return result;
}

ResourcePtr BuildGatewayRoute(absl::string_view name, const ProxyNode& node, const Scope& scope) {
  uint32_t port = 0;
  if (name.substr(0, kRoutePrefix.size()) != kRoutePrefix ||
      !absl::SimpleAtoi(name.substr(kRoutePrefix.size()), &port)) {
    return nullptr;
  }
  const std::map<uint32_t, std::vector<BoundServer>> servers = ServersOf(node, scope);
  const auto found = servers.find(port);
  if (found == servers.end()) return nullptr;
  RouteConfiguration configuration;
  SetRouteDefaults(name, &configuration);
  GatewayRoutes routes(scope, &configuration);
  for (const BoundServer& bound : found->second) routes.Add(bound);
  routes.Finish(port);
  return MakeResource(std::string(name), configuration);
}

}  // namespace meltemi::pilot
