#include "networking/v1/sidecar.pb.h"

#include <map>
#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "pilot/validate/grammar.h"
#include "pilot/validate/rules.h"
#include "pilot/validate/shared_rules.h"

namespace meltemi::pilot {
namespace {

using networking::IstioEgressListener;
using networking::IstioIngressListener;
using networking::OutboundTrafficPolicy;
using networking::Sidecar;
using networking::SidecarPort;

void ValidateTcpPort(const SidecarPort& port, const std::string& bind, const Path& path,
                     Report* report) {
  if (!port.name().empty()) report->Check(path / "port" / "name", WhyNoPortName(port.name()));
  report->Check(path / "port" / "protocol", WhyNoProtocol(port.protocol()));
  report->Check(path / "port" / "number", WhyNoPort(port.number()));
  if (!bind.empty()) report->Check(path / "bind", WhyNoIp(bind));
}

std::string WhyNoDefaultEndpoint(absl::string_view text) {
  if (absl::ConsumePrefix(&text, "unix://")) return WhyNoUnixPath(text);
  const size_t colon = text.rfind(':');
  const absl::string_view host =
      colon == absl::string_view::npos ? absl::string_view("?") : text.substr(0, colon);
  const bool known =
      host.empty() || host == "127.0.0.1" || host == "0.0.0.0" || host == "[::1]" || host == "[::]";
  int port;
  if (!known || !absl::SimpleAtoi(text.substr(colon + 1), &port)) {
    return absl::StrCat("\"", text,
                        "\": expected 127.0.0.1:PORT, 0.0.0.0:PORT, :PORT or unix://PATH");
  }
  return WhyNoPort(port);
}

void ValidateIngress(const IstioIngressListener& listener, const Path& path,
                     std::set<uint32_t>* ports, Report* report) {
  if (!listener.has_port()) return report->Error(path, "\"port\" is required");
  ValidateTcpPort(listener.port(), listener.bind(), path, report);
  if (!ports->insert(listener.port().number()).second) {
    report->Error(path / "port" / "number",
                  absl::StrCat("port ", listener.port().number(), " is there already"));
  }
  if (!listener.default_endpoint().empty()) {
    report->Check(path / "defaultEndpoint", WhyNoDefaultEndpoint(listener.default_endpoint()));
  }
  if (listener.has_connection_pool()) {
    ValidateConnectionPool(listener.connection_pool(), path / "connectionPool", report);
  }
  if (listener.has_tls()) report->Unsupported(path / "tls", "TLS of ingress listeners");
}

void ValidateEgressHosts(const IstioEgressListener& listener, const Path& path, Report* report) {
  if (listener.hosts_size() == 0) return report->Error(path, "at least one host is required");
  std::map<std::string, std::set<std::string>> hosts_of;
  for (int i = 0; i < listener.hosts_size(); ++i) {
    const std::string& text = listener.hosts(i);
    const Path at = path[static_cast<size_t>(i)];
    report->Check(at, WhyNoScopedHost(text, false));
    const size_t slash = text.find('/');
    if (slash == std::string::npos) continue;
    std::string ns = text.substr(0, slash);
    if (ns == ".") ns = report->object().meta.ns;
    std::set<std::string>& hosts = hosts_of[ns];
    const std::string host = text.substr(slash + 1);
    if (hosts.count(host) > 0 || hosts.count("*") > 0) {
      report->Warning(at, absl::StrCat("\"", text, "\" is covered by an earlier host"));
    }
    hosts.insert(host);
  }
  const auto all = hosts_of.find("*");
  if (all != hosts_of.end() && all->second.count("*") > 0 && hosts_of.size() > 1) {
    report->Warning(path, "\"*/*\" takes in everything: the other hosts have no effect");
  }
}

void ValidateEgress(const IstioEgressListener& listener, bool last, const Path& path,
                    std::set<std::string>* bound, Report* report) {
  ValidateEgressHosts(listener, path / "hosts", report);
  if (!listener.has_port()) {
    if (!last) report->Error(path, "only the last egress listener may lack a port");
    return;
  }
  absl::string_view bind = listener.bind();
  if (listener.port().number() == 0) {
    report->Check(path / "port" / "protocol", WhyNoProtocol(listener.port().protocol()));
    if (!absl::ConsumePrefix(&bind, "unix://")) {
      return report->Error(path / "bind", "port 0 needs a socket as unix://PATH");
    }
    report->Check(path / "bind", WhyNoUnixPath(bind));
    if (listener.capture_mode() == networking::IPTABLES) {
      report->Error(path / "captureMode", "IPTABLES cannot capture for a unix socket");
    }
  } else {
    ValidateTcpPort(listener.port(), listener.bind(), path, report);
  }
  if (!bound
           ->insert(absl::StrCat(listener.port().number(),
                                 listener.port().number() == 0 ? listener.bind() : std::string()))
           .second) {
    report->Error(path / "port" / "number", "another egress listener has this port or socket");
  }
}

void ValidateOutboundPolicy(const OutboundTrafficPolicy& policy, const Path& path, Report* report) {
  if (!policy.has_egress_proxy()) return;
  const Path at = path / "egressProxy";
  if (policy.mode() != OutboundTrafficPolicy::ALLOW_ANY) {
    report->Error(at, "is allowed with the mode ALLOW_ANY only");
  }
  report->Check(at / "host", WhyNoFqdn(policy.egress_proxy().host()));
  if (!policy.egress_proxy().has_port()) report->Error(at, "\"port\" is required");
  ValidateDestination(policy.egress_proxy(), at, report);
}

}  // namespace

void ValidateSidecar(const Sidecar& spec, Report* report) {
  const Path path("spec");
  ValidateLabels(spec.workload_selector().labels(), path / "workloadSelector" / "labels", report);
  if (spec.egress_size() == 0 && spec.ingress_size() == 0 && !spec.has_outbound_traffic_policy() &&
      !spec.has_inbound_connection_pool()) {
    report->Error(path,
                  "one of ingress, egress, outboundTrafficPolicy or inboundConnectionPool is "
                  "required");
  }
  std::set<uint32_t> ports;
  for (int i = 0; i < spec.ingress_size(); ++i) {
    ValidateIngress(spec.ingress(i), (path / "ingress")[static_cast<size_t>(i)], &ports, report);
  }
  std::set<std::string> bound;
  for (int i = 0; i < spec.egress_size(); ++i) {
    ValidateEgress(spec.egress(i), i + 1 == spec.egress_size(),
                   (path / "egress")[static_cast<size_t>(i)], &bound, report);
  }
  if (spec.has_inbound_connection_pool()) {
    ValidateConnectionPool(spec.inbound_connection_pool(), path / "inboundConnectionPool", report);
  }
  ValidateOutboundPolicy(spec.outbound_traffic_policy(), path / "outboundTrafficPolicy", report);
}

}  // namespace meltemi::pilot
