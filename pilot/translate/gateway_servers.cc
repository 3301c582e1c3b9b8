#include "pilot/translate/gateway_servers.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "networking/v1/gateway.pb.h"
#include "pilot/model/endpoint_list.h"

namespace meltemi::pilot {
namespace {

using networking::Server;
using networking::ServerTLSSettings;

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

bool TerminatesTls(const Server& server) {
  return server.has_tls() && !IsHttp(ParseProtocol(server.port().protocol())) &&
         server.tls().mode() != ServerTLSSettings::PASSTHROUGH &&
         server.tls().mode() != ServerTLSSettings::AUTO_PASSTHROUGH;
}

}  // namespace

std::string BoundServer::RouteName() const {
  std::string name;
  if (IsHttps(*server)) {
    const size_t slash = gateway.find('/');
    name = absl::StrCat("https.", listen_port, ".", server->port().name(), ".",
                        gateway.substr(slash + 1), ".", gateway_ns);
  } else {
    name = absl::StrCat("http.", listen_port);
  }
  if (!server->bind().empty()) absl::StrAppend(&name, ".", server->bind());
  return name;
}

std::map<GatewayPlace, std::vector<BoundServer>> GatewayServers(const ProxyNode& node,
                                                                const Scope& scope) {
  std::map<GatewayPlace, std::vector<BoundServer>> result;
  for (const GatewayPtr& gateway : scope.snapshot->rules->gateways()) {
    if (!LabelsMatch(gateway->selector, node.labels)) continue;
    for (const Server& server : gateway->spec->servers()) {
      const uint32_t port = ListenPort(server.port().number(), node, *scope.snapshot);
      const std::string bind = server.bind().empty() ? "0.0.0.0" : server.bind();
      result[{bind, port}].push_back({absl::StrCat(gateway->meta.ns, "/", gateway->meta.name),
                                      gateway->meta.ns, &server, port});
    }
  }
  return result;
}

bool IsPlainHttp(const Server& server) {
  return !server.has_tls() && IsHttp(ParseProtocol(server.port().protocol()));
}

bool RedirectsToHttps(const Server& server) {
  return server.tls().https_redirect() && IsHttp(ParseProtocol(server.port().protocol()));
}

bool IsPlainTcp(const Server& server) {
  return !server.has_tls() && IsTcp(ParseProtocol(server.port().protocol()));
}

bool PassesTlsThrough(const Server& server) {
  return server.has_tls() && !IsHttp(ParseProtocol(server.port().protocol())) &&
         server.tls().mode() == ServerTLSSettings::PASSTHROUGH;
}

bool IsHttps(const Server& server) {
  return TerminatesTls(server) && ParseProtocol(server.port().protocol()) == Protocol::kHttps;
}

bool IsTlsToTcp(const Server& server) { return TerminatesTls(server) && !IsHttps(server); }

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

bool ServerTakesAny(const BoundServer& bound, const VirtualService& rule) {
  return std::any_of(rule.hosts.begin(), rule.hosts.end(),
                     [&](const std::string& host) { return ServerTakes(bound, rule, host); });
}

}  // namespace meltemi::pilot
