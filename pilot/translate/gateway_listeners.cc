#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "envoy/extensions/transport_sockets/tls/v3/tls.pb.h"
#include "networking/v1/gateway.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/translate/authorization.h"
#include "pilot/translate/gateway.h"
#include "pilot/translate/gateway_servers.h"
#include "pilot/translate/route_action.h"
#include "pilot/translate/route_match.h"
#include "pilot/translate/tls_context.h"

namespace meltemi::pilot {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
namespace tcp = envoy::extensions::filters::network::tcp_proxy::v3;
namespace tls = envoy::extensions::transport_sockets::tls::v3;
using envoy::config::listener::v3::FilterChain;
using envoy::config::listener::v3::Listener;

// The listener of one place: one plaintext chain, or chains told apart by the server name that
// clients ask for.
class PlaceBuilder {
 public:
  PlaceBuilder(const GatewayPlace& place, const ProxyNode& node, const Scope& scope,
               const AccessLogSettings& log, const AuthorizationFilters& authorization)
      : place_(place), node_(node), scope_(scope), log_(log), authorization_(authorization) {}

  // Null if nothing can be served there.
  ResourcePtr Build(const std::vector<BoundServer>& servers) {
    listener_.set_name(absl::StrCat(place_.first, "_", place_.second));
    SetAddress(place_.first, place_.second, &listener_);
    listener_.set_traffic_direction(envoy::config::core::v3::OUTBOUND);
    const bool http = std::any_of(servers.begin(), servers.end(), [](const BoundServer& bound) {
      return IsPlainHttp(*bound.server) || RedirectsToHttps(*bound.server);
    });
    if (http) {
      AddPlainHttp(servers);
    } else {
      for (const BoundServer& bound : servers) AddServer(bound);
    }
    if (listener_.filter_chains().empty()) return nullptr;
    AddInspectors(*scope_.snapshot->mesh, &listener_);
    std::string name = listener_.name();
    return MakeResource(std::move(name), listener_, std::move(routes_));
  }

 private:
  // All plaintext HTTP servers share one chain: hosts are told apart by routes. TLS cannot stand on
  // the same port.
  void AddPlainHttp(const std::vector<BoundServer>& servers) {
    const auto first = std::find_if(servers.begin(), servers.end(), [](const BoundServer& bound) {
      return IsPlainHttp(*bound.server) || RedirectsToHttps(*bound.server);
    });
    AddHttp(*first, listener_.add_filter_chains());
  }

  void AddServer(const BoundServer& bound) {
    const networking::Server& server = *bound.server;
    if (PassesTlsThrough(server)) {
      AddPassthrough(bound);
    } else if (IsHttps(server)) {
      FilterChain chain;
      if (!TakeNames(ServerNames(server), &chain)) return;
      SetServerTls(server, /*http=*/true, &chain);
      AddHttp(bound, &chain);
      *listener_.add_filter_chains() = std::move(chain);
    } else if (IsTlsToTcp(server) || IsPlainTcp(server)) {
      AddTcp(bound);
    }
  }

  void AddHttp(const BoundServer& bound, FilterChain* chain) {
    hcm::HttpConnectionManager manager;
    FillHttpManager(absl::StrCat("outbound_", listener_.name()), log_,
                    HttpRole{HttpSide::kGateway, node_.HasIdentity()}, &manager);
    const std::string route = bound.RouteName();
    authorization_.AddTo(&manager);
    UseRds(route, &manager);
    AddHttpFilter(manager, chain);
    if (std::find(routes_.begin(), routes_.end(), route) == routes_.end()) {
      routes_.push_back(route);
    }
  }

  void SetServerTls(const networking::Server& server, bool http, FilterChain* chain) const {
    tls::DownstreamTlsContext context;
    FillGatewayServerTls(server.tls(), http, &context);
    SetTls(context, chain->mutable_transport_socket());
  }

  // Bytes go where the first TCP route that fits says.
  void AddTcp(const BoundServer& bound) {
    const networking::Server& server = *bound.server;
    const RuleSite site{bound.gateway, scope_.ns, scope_.labels, server.port().number()};
    for (const VirtualServicePtr& rule : scope_.virtual_services) {
      if (!rule->AppliesTo(bound.gateway) || !ServerTakesAny(bound, *rule)) continue;
      for (const auto& route : rule->spec->tcp()) {
        const bool applies = route.match().empty() ||
                             std::any_of(route.match().begin(), route.match().end(),
                                         [&](const auto& match) { return AppliesAt(match, site); });
        if (!applies || route.route().empty()) continue;
        FilterChain chain;
        if (!TakeNames(server.has_tls() ? ServerNames(server) : Names{"*"}, &chain)) return;
        if (server.has_tls()) SetServerTls(server, /*http=*/false, &chain);
        AddProxy(TcpProxyTo(*rule, route.route(), scope_, site.port), &chain);
        *listener_.add_filter_chains() = std::move(chain);
        return;
      }
    }
  }

  // A chain for each match of each TLS route.
  void AddPassthrough(const BoundServer& bound) {
    const RuleSite site{bound.gateway, scope_.ns, scope_.labels, bound.server->port().number()};
    for (const VirtualServicePtr& rule : scope_.virtual_services) {
      if (!rule->AppliesTo(bound.gateway) || !ServerTakesAny(bound, *rule)) continue;
      for (const auto& route : rule->spec->tls()) {
        if (route.route().empty()) continue;
        for (const auto& match : route.match()) {
          FilterChain chain;
          if (!AppliesAt(match, site) ||
              !TakeNames(Names(match.sni_hosts().begin(), match.sni_hosts().end()), &chain)) {
            continue;
          }
          AddProxy(TcpProxyTo(*rule, route.route(), scope_, site.port), &chain);
          *listener_.add_filter_chains() = std::move(chain);
        }
      }
    }
  }

  void AddProxy(tcp::TcpProxy proxy, FilterChain* chain) const {
    AddAccessLog(log_, &proxy);
    authorization_.AddTo(chain);
    AddTcpFilter(proxy, chain);
  }

  using Names = std::set<std::string>;

  static Names ServerNames(const networking::Server& server) {
    Names names;
    for (const std::string& host : server.hosts()) names.insert(host.substr(host.find('/') + 1));
    return names;
  }

  // Whoever came first has a name: two chains for one would have the listener rejected. False if
  // none is left. "*" stands for whatever has no chain of its own.
  bool TakeNames(Names names, FilterChain* chain) {
    if (names.contains("*")) {
      if (!taken_.insert("*").second) return false;
      return true;
    }
    for (const std::string& name : names) {
      if (!taken_.insert(name).second) continue;
      chain->mutable_filter_chain_match()->add_server_names(name);
    }
    return chain->filter_chain_match().server_names_size() > 0;
  }

  const GatewayPlace& place_;
  const ProxyNode& node_;
  const Scope& scope_;
  const AccessLogSettings& log_;
  const AuthorizationFilters& authorization_;
  Listener listener_;
  std::vector<std::string> routes_;
  Names taken_;
};

}  // namespace

std::vector<ResourcePtr> BuildGatewayListeners(const ProxyNode& node, const Scope& scope,
                                               const AccessLogSettings& log) {
  const Snapshot& snapshot = *scope.snapshot;
  const AuthorizationFilters authorization(
      snapshot.authorization->For(node.ns, snapshot.mesh->root_namespace, node.labels),
      snapshot.mesh->trust_domain);
  std::vector<ResourcePtr> result;
  for (const auto& [place, servers] : GatewayServers(node, scope)) {
    ResourcePtr made = PlaceBuilder(place, node, scope, log, authorization).Build(servers);
    if (made != nullptr) {
      result.push_back(std::move(made));
    }
  }
  return result;
}

}  // namespace meltemi::pilot
