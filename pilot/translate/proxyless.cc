#include "pilot/translate/proxyless.h"

#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/string_view.h"
#include "envoy/config/listener/v3/listener.pb.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "pilot/model/names.h"
#include "pilot/translate/filters.h"
#include "pilot/translate/metadata.h"
#include "pilot/translate/routes.h"

namespace meltemi::pilot {

ResourcePtr BuildApiListener(absl::string_view name, const Scope& scope) {
  const size_t colon = name.rfind(':');
  uint32_t port = 0;
  if (colon == absl::string_view::npos || !absl::SimpleAtoi(name.substr(colon + 1), &port)) {
    return nullptr;
  }
  const std::string host =
      ResolveHost(name.substr(0, colon), scope.ns, scope.snapshot->mesh->domain);
  const ServicePtr service = scope.FindService(host);
  if (service == nullptr || service->FindPort(port) == nullptr) return nullptr;

  envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager manager;
  const std::string route = OutboundClusterName(port, "", host);
  FillHttpManager(route, AccessLogSettings(), HttpRole{HttpSide::kProxyless}, &manager);
  UseRds(route, &manager);
  envoy::config::listener::v3::Listener listener;
  listener.set_name(std::string(name));
  PackAny(manager, listener.mutable_api_listener()->mutable_api_listener());
  return MakeResource(std::string(name), listener, {route});
}

ResourcePtr BuildApiRoute(absl::string_view name, const Scope& scope) {
  uint32_t port = 0;
  std::string subset;
  std::string host;
  if (!ParseOutboundClusterName(name, &port, &subset, &host)) return nullptr;
  const ServicePtr service = scope.FindService(host);
  if (service == nullptr || service->FindPort(port) == nullptr) return nullptr;
  envoy::config::route::v3::RouteConfiguration configuration;
  configuration.set_name(std::string(name));
  auto& virtual_host = *configuration.add_virtual_hosts();
  virtual_host = BuildVirtualHost(host, service.get(), port, scope.RulesFor(host, "mesh"), "mesh",
                                  scope, ProxyKind::kProxyless);
  for (std::string& domain :
       DomainsFor(host, service->addresses, port, scope.ns, scope.snapshot->mesh->domain)) {
    virtual_host.add_domains(std::move(domain));
  }
  return MakeResource(std::string(name), configuration);
}

}  // namespace meltemi::pilot
