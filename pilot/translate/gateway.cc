#include "pilot/translate/gateway.h"

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "envoy/config/route/v3/route.pb.h"
#include "networking/v1/gateway.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/translate/gateway_servers.h"
#include "pilot/translate/routes.h"

namespace meltemi::pilot {
namespace {

using envoy::config::route::v3::RouteConfiguration;
using envoy::config::route::v3::VirtualHost;

std::vector<std::string> GatewayDomains(const std::string& host) {
  if (host == "*") return {"*"};
  if (IsWildcard(host)) return {host};
  return {host, absl::StrCat(host, ":*")};
}

// Virtual hosts of one route configuration, by host name.
class GatewayRoutes {
 public:
  GatewayRoutes(const Scope& scope, RouteConfiguration* out) : scope_(scope), out_(*out) {}

  void Add(const BoundServer& bound) {
    if (RedirectsToHttps(*bound.server)) {
      AddHttpsRedirect(bound);
      return;
    }
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

}  // namespace

ResourcePtr BuildGatewayRoute(absl::string_view name, const ProxyNode& node, const Scope& scope) {
  if (!absl::StartsWith(name, "http.") && !absl::StartsWith(name, "https.")) return nullptr;
  RouteConfiguration configuration;
  GatewayRoutes routes(scope, &configuration);
  uint32_t port = 0;
  for (const auto& [place, servers] : GatewayServers(node, scope)) {
    for (const BoundServer& bound : servers) {
      const networking::Server& server = *bound.server;
      const bool http = IsPlainHttp(server) || RedirectsToHttps(server) || IsHttps(server);
      if (!http || bound.RouteName() != name) continue;
      port = bound.listen_port;
      routes.Add(bound);
    }
  }
  if (port == 0) return nullptr;
  SetRouteDefaults(name, &configuration);
  routes.Finish(port);
  return MakeResource(std::string(name), configuration);
}

}  // namespace meltemi::pilot
