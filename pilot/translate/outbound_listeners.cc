#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/string_view.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.pb.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/translate/listeners.h"
#include "pilot/translate/metadata.h"
#include "pilot/translate/route_action.h"
#include "pilot/translate/route_match.h"
#include "pilot/translate/traffic_policy.h"

namespace meltemi::pilot {
namespace {

namespace hcm = envoy::extensions::filters::network::http_connection_manager::v3;
namespace tcp = envoy::extensions::filters::network::tcp_proxy::v3;
using envoy::config::listener::v3::FilterChain;
using envoy::config::listener::v3::FilterChainMatch;
using envoy::config::listener::v3::Listener;

constexpr char kAnyAddress[] = "0.0.0.0";

absl::string_view FallbackCluster(const Scope& scope) {
  return scope.outbound_policy == OutboundPolicy::kAllowAny ? kPassthroughCluster
                                                            : kBlackHoleCluster;
}

// "10.0.0.0/8" or an address.
void AddRange(absl::string_view subnet, FilterChainMatch* match) {
  const size_t slash = subnet.find('/');
  auto* range = match->add_prefix_ranges();
  const absl::string_view address = subnet.substr(0, slash);
  range->set_address_prefix(std::string(address));
  uint32_t bits = address.find(':') == absl::string_view::npos ? 32 : 128;
  if (slash != absl::string_view::npos) {
    uint32_t given = 0;
    if (absl::SimpleAtoi(subnet.substr(slash + 1), &given)) bits = given;
  }
  range->mutable_prefix_len()->set_value(bits);
}

// The TCP side of one service port: a filter chain per matching TCP route of its VirtualServices,
// or one chain straight to the service.
class TcpChains {
 public:
  TcpChains(const Scope& scope, const Service& service, const ServicePort& port,
            const AccessLogSettings& log)
      : scope_(scope), service_(service), port_(port), log_(log) {}

  // Chains with conditions on the destination, then one without.
  std::vector<FilterChain> Build() const {
    std::vector<FilterChain> chains;
    const bool is_tls = port_.protocol == Protocol::kTls || port_.protocol == Protocol::kHttps;
    if (is_tls) AddTlsRoutes(&chains);
    for (const VirtualServicePtr& rule : scope_.RulesFor(service_.host, "mesh")) {
      for (const auto& route : rule->spec->tcp()) {
        if (AddRoute(*rule, route, &chains)) return chains;
      }
    }
    FilterChain chain;
    AddTcpFilter(ToService(), &chain);
    chains.push_back(std::move(chain));
    return chains;
  }

 private:
  // TLS that clients speak themselves goes by the server name that they ask for. Each name and
  // subnet has one chain: that of the rule that came first.
  void AddTlsRoutes(std::vector<FilterChain>* chains) const {
    const RuleSite site{"mesh", scope_.ns, scope_.labels, port_.number};
    std::set<std::string> taken;
    for (const VirtualServicePtr& rule : scope_.RulesFor(service_.host, "mesh")) {
      for (const auto& route : rule->spec->tls()) {
        for (const auto& match : route.match()) {
          if (!AppliesAt(match, site) || route.route().empty()) continue;
          const std::string subnets = absl::StrJoin(match.destination_subnets(), ",");
          FilterChain chain;
          for (const std::string& name : match.sni_hosts()) {
            if (!taken.insert(absl::StrCat(name, "|", subnets)).second) continue;
            chain.mutable_filter_chain_match()->add_server_names(name);
          }
          if (chain.filter_chain_match().server_names().empty()) continue;
          for (const std::string& subnet : match.destination_subnets()) {
            AddRange(subnet, chain.mutable_filter_chain_match());
          }
          tcp::TcpProxy proxy = TcpProxyTo(*rule, route.route(), scope_, port_.number);
          Finish(route.route(0).destination().subset(), &proxy);
          AddTcpFilter(proxy, &chain);
          chains->push_back(std::move(chain));
        }
      }
    }
  }

  // True if the route takes all connections, so that nothing after it can match.
  bool AddRoute(const VirtualService& rule, const networking::TCPRoute& route,
                std::vector<FilterChain>* chains) const {
    const RuleSite site{"mesh", scope_.ns, scope_.labels, port_.number};
    bool takes_all = route.match().empty();
    FilterChainMatch ranges;
    bool applies = takes_all;
    for (const auto& match : route.match()) {
      if (!AppliesAt(match, site)) continue;
      applies = true;
      if (match.destination_subnets().empty()) takes_all = true;
      for (const std::string& subnet : match.destination_subnets()) AddRange(subnet, &ranges);
    }
    if (!applies || route.route().empty()) return false;
    FilterChain chain;
    if (!takes_all) *chain.mutable_filter_chain_match() = ranges;
    AddTcpFilter(ToRoute(rule, route), &chain);
    chains->push_back(std::move(chain));
    return takes_all;
  }

  tcp::TcpProxy ToRoute(const VirtualService& rule, const networking::TCPRoute& route) const {
    tcp::TcpProxy proxy = TcpProxyTo(rule, route.route(), scope_, port_.number);
    Finish(route.route(0).destination().subset(), &proxy);
    return proxy;
  }

  tcp::TcpProxy ToService() const {
    tcp::TcpProxy proxy;
    proxy.set_cluster(OutboundClusterName(port_.number, "", service_.host));
    proxy.set_stat_prefix(proxy.cluster());
    Finish("", &proxy);
    return proxy;
  }

  // What the DestinationRule says of TCP connections.
  void Finish(absl::string_view subset, tcp::TcpProxy* proxy) const {
    AddAccessLog(log_, proxy);
    const DestinationRulePtr rule = scope_.FindRule(service_.host);
    const EffectivePolicy policy = ResolvePolicy(rule.get(), port_.number, subset);
    if (policy.connection_pool != nullptr && policy.connection_pool->tcp().has_idle_timeout()) {
      *proxy->mutable_idle_timeout() = policy.connection_pool->tcp().idle_timeout();
    }
    const auto* hash = policy.consistent_hash();
    if (hash != nullptr && hash->use_source_ip()) proxy->add_hash_policy()->mutable_source_ip();
  }

  const Scope& scope_;
  const Service& service_;
  const ServicePort& port_;
  const AccessLogSettings& log_;
};

// What listens at one address and port: HTTP by a route configuration, TCP by chains, or both.
struct Place {
  std::string route_name;               // empty: no HTTP
  std::vector<FilterChain> tcp_chains;  // empty: only HTTP
  bool sniffs = false;
};

class OutboundListenerBuilder {
 public:
  OutboundListenerBuilder(const Scope& scope, const AccessLogSettings& log, bool identity)
      : scope_(scope), log_(log), identity_(identity) {}

  std::vector<ResourcePtr> Build() {
    for (const ServicePtr& service : scope_.services) {
      for (const ServicePort& port : service->ports) {
        if (port.protocol == Protocol::kUdp || port.number == kOutboundPort ||
            port.number == kInboundPort) {
          continue;
        }
        AddPort(*service, port);
      }
    }
    std::vector<ResourcePtr> result;
    result.push_back(Virtual());
    for (auto& [key, place] : places_) result.push_back(Make(key.first, key.second, place));
    return result;
  }

 private:
  using Key = std::pair<std::string, uint32_t>;

  void AddPort(const Service& service, const ServicePort& port) {
    const std::string by_port = absl::StrCat(port.number);
    if (IsHttp(port.protocol)) {
      places_[{kAnyAddress, port.number}].route_name = by_port;
      return;
    }
    const bool sniffed = IsSniffed(port.protocol);
    if (service.headless && !sniffed) {
      AddHeadless(service, port);
      return;
    }
    if (service.addresses.empty()) {
      Place& place = places_[{kAnyAddress, port.number}];
      if (sniffed) place.route_name = by_port;
      // A sniffed service is reached by TCP only through the original destination: which service
      // is meant cannot be told. One that declares TCP has the port.
      if (!sniffed && place.tcp_chains.empty()) {
        place.tcp_chains = TcpChains(scope_, service, port, log_).Build();
      }
      return;
    }
    for (const std::string& address : service.addresses) {
      Place& place = places_[{address, port.number}];
      if (!place.tcp_chains.empty()) continue;  // the older service keeps the address
      if (sniffed) place.route_name = absl::StrCat(service.host, ":", port.number);
      place.tcp_chains = TcpChains(scope_, service, port, log_).Build();
    }
  }

  void AddHeadless(const Service& service, const ServicePort& port) {
    const ServiceEndpointsPtr endpoints = scope_.snapshot->endpoints->Find(service);
    for (const Endpoint& endpoint : endpoints->endpoints) {
      if (endpoint.service_port != port.number) continue;
      Place& place = places_[{endpoint.address, port.number}];
      if (place.tcp_chains.empty()) {
        place.tcp_chains = TcpChains(scope_, service, port, log_).Build();
      }
    }
  }

  FilterChain HttpChain(const std::string& address, uint32_t port, const std::string& route) const {
    FilterChain chain;
    MatchHttp(chain.mutable_filter_chain_match());
    hcm::HttpConnectionManager manager;
    FillHttpManager(absl::StrCat("outbound_", address, "_", port), log_,
                    HttpRole{HttpSide::kOutbound, identity_}, &manager);
    UseRds(route, &manager);
    AddHttpFilter(manager, &chain);
    return chain;
  }

  ResourcePtr Make(const std::string& address, uint32_t port, const Place& place) const {
    Listener listener;
    listener.set_name(absl::StrCat(address, "_", port));
    SetAddress(address, port, &listener);
    listener.mutable_bind_to_port()->set_value(false);
    listener.set_traffic_direction(envoy::config::core::v3::OUTBOUND);
    std::vector<std::string> needs;
    if (!place.route_name.empty()) {
      *listener.add_filter_chains() = HttpChain(address, port, place.route_name);
      needs.push_back(place.route_name);
    }
    for (const FilterChain& chain : place.tcp_chains) {
      if (!place.route_name.empty() && !chain.has_filter_chain_match()) {
        *listener.mutable_default_filter_chain() = chain;
      } else {
        *listener.add_filter_chains() = chain;
      }
    }
    AddInspectors(*scope_.snapshot->mesh, &listener);
    if (place.tcp_chains.empty()) {
      listener.mutable_default_filter_chain()->set_name("PassthroughFilterChain");
      AddTcpProxy(FallbackCluster(scope_), log_, listener.mutable_default_filter_chain());
    }
    std::string name = listener.name();
    return MakeResource(std::move(name), listener, std::move(needs));
  }

  // Takes every redirected connection and hands it to the listener of its original destination;
  // what has none is passed on as it is, or refused.
  ResourcePtr Virtual() const {
    Listener listener;
    listener.set_name("virtualOutbound");
    SetAddress(kAnyAddress, kOutboundPort, &listener);
    listener.mutable_use_original_dst()->set_value(true);
    listener.set_traffic_direction(envoy::config::core::v3::OUTBOUND);
    FilterChain& loop = *listener.add_filter_chains();
    loop.set_name("virtualOutbound-trafficloop");
    loop.mutable_filter_chain_match()->mutable_destination_port()->set_value(kOutboundPort);
    AddTcpProxy(kBlackHoleCluster, log_, &loop);
    FilterChain& rest = *listener.add_filter_chains();
    rest.set_name("virtualOutbound-catchall-tcp");
    AddTcpProxy(FallbackCluster(scope_), log_, &rest);
    return MakeResource("virtualOutbound", listener);
  }

  const Scope& scope_;
  const AccessLogSettings& log_;
  const bool identity_;
  std::map<Key, Place> places_;
};

}  // namespace

std::vector<ResourcePtr> BuildOutboundListeners(const Scope& scope, const AccessLogSettings& log,
                                                bool identity) {
  return OutboundListenerBuilder(scope, log, identity).Build();
}

std::vector<ServiceEndpointsPtr> ListenerEndpoints(const Scope& scope) {
  std::vector<ServiceEndpointsPtr> result;
  for (const ServicePtr& service : scope.services) {
    if (!service->headless) continue;
    for (const ServicePort& port : service->ports) {
      if (!IsTcp(port.protocol)) continue;
      result.push_back(scope.snapshot->endpoints->Find(*service));
      break;
    }
  }
  return result;
}

}  // namespace meltemi::pilot
