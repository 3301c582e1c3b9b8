#include "networking/v1/virtual_service.pb.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "pilot/ingest/names.h"
#include "pilot/model/names.h"
#include "pilot/validate/grammar.h"
#include "pilot/validate/rules.h"
#include "pilot/validate/shared_rules.h"

namespace meltemi::pilot {
namespace {

using networking::L4MatchAttributes;
using networking::RouteDestination;
using networking::TCPRoute;
using networking::TLSMatchAttributes;
using networking::TLSRoute;
using networking::VirtualService;

// A VirtualService without hosts is the target of another's `delegate`.
void ValidateDelegate(const VirtualService& spec, Report* report) {
  const Path path("spec");
  if (spec.gateways_size() > 0) {
    report->Error(path / "gateways", "a delegate (a VirtualService without hosts) has no gateways");
  }
  if (spec.tls_size() > 0) report->Error(path / "tls", "a delegate has no tls routes");
  if (spec.tcp_size() > 0) report->Error(path / "tcp", "a delegate has no tcp routes");
}

bool AppliesToMesh(const VirtualService& spec) {
  if (spec.gateways_size() == 0) return true;
  for (const std::string& gateway : spec.gateways()) {
    if (gateway == "mesh") return true;
  }
  return false;
}

void ValidateHosts(const VirtualService& spec, Report* report) {
  const Path path("spec.hosts");
  bool valid = true;
  for (int i = 0; i < spec.hosts_size(); ++i) {
    const Path at = path[static_cast<size_t>(i)];
    const std::string wrong = WhyNoHostOrIp(spec.hosts(i));
    report->Check(at, wrong);
    if (spec.hosts(i) == "*" && AppliesToMesh(spec)) {
      report->Error(at, "\"*\" is not allowed for the gateway \"mesh\": name the hosts");
      valid = false;
    }
    valid = valid && wrong.empty();
  }
  if (!valid) return;
  for (int i = 0; i < spec.hosts_size(); ++i) {
    for (int j = 0; j < i; ++j) {
      if (!HostsOverlap(spec.hosts(i), spec.hosts(j))) continue;
      report->Error(
          path[static_cast<size_t>(i)],
          absl::StrCat("\"", spec.hosts(i), "\" and \"", spec.hosts(j), "\" cover the same hosts"));
    }
  }
}

template <typename Destinations>
void ValidateL4Destinations(const Destinations& destinations, const Path& path, Report* report) {
  if (destinations.empty()) return report->Error(path, "at least one destination is required");
  int64_t total = 0;
  for (int i = 0; i < destinations.size(); ++i) {
    const RouteDestination& destination = destinations[i];
    const Path at = path[static_cast<size_t>(i)];
    if (!destination.has_destination()) report->Error(at, "\"destination\" is required");
    ValidateDestination(destination.destination(), at / "destination", report);
    if (destination.weight() < 0) report->Error(at / "weight", "a weight must not be negative");
    total += destination.weight();
  }
  if (destinations.size() > 1 && total == 0) {
    report->Error(path, "the weights of several destinations must not all be 0");
  }
}

// The conditions that TCP and TLS matches share.
template <typename Match>
void ValidateL4Match(const Match& match, const Path& path, Report* report) {
  for (int i = 0; i < match.destination_subnets_size(); ++i) {
    report->Check((path / "destinationSubnets")[static_cast<size_t>(i)],
                  WhyNoSubnet(match.destination_subnets(i)));
  }
  if (match.port() != 0) report->Check(path / "port", WhyNoPort(match.port()));
  ValidateLabels(match.source_labels(), path / "sourceLabels", report);
  for (int i = 0; i < match.gateways_size(); ++i) {
    report->Check((path / "gateways")[static_cast<size_t>(i)], WhyNoGatewayName(match.gateways(i)));
  }
  if (!match.source_namespace().empty()) {
    report->Check(path / "sourceNamespace", WhyNoDnsLabel(match.source_namespace()));
  }
}

void ValidateSniHost(const std::string& host, const VirtualService& spec, const Path& path,
                     Report* report) {
  if (IsIpAddress(host)) {
    return report->Warning(path, "SNI carries no IP addresses: most clients will not send this");
  }
  if (const std::string wrong = WhyNoWildcardHost(host); !wrong.empty()) {
    return report->Error(path, wrong);
  }
  for (const std::string& covering : spec.hosts()) {
    if (HostCovers(covering, host)) return;
  }
  report->Error(path, absl::StrCat("\"", host, "\" is covered by none of spec.hosts"));
}

void ValidateTlsRoute(const TLSRoute& route, const VirtualService& spec, const Path& path,
                      Report* report) {
  if (route.match_size() == 0) report->Error(path / "match", "a tls route needs a match");
  for (int i = 0; i < route.match_size(); ++i) {
    const TLSMatchAttributes& match = route.match(i);
    const Path at = (path / "match")[static_cast<size_t>(i)];
    if (match.sni_hosts_size() == 0) report->Error(at / "sniHosts", "at least one is required");
    for (int j = 0; j < match.sni_hosts_size(); ++j) {
      ValidateSniHost(match.sni_hosts(j), spec, (at / "sniHosts")[static_cast<size_t>(j)], report);
    }
    ValidateL4Match(match, at, report);
  }
  ValidateL4Destinations(route.route(), path / "route", report);
}

void ValidateTcpRoute(const TCPRoute& route, const Path& path, Report* report) {
  for (int i = 0; i < route.match_size(); ++i) {
    const L4MatchAttributes& match = route.match(i);
    const Path at = (path / "match")[static_cast<size_t>(i)];
    if (!match.source_subnet().empty()) {
      report->Check(at / "sourceSubnet", WhyNoSubnet(match.source_subnet()));
    }
    ValidateL4Match(match, at, report);
  }
  ValidateL4Destinations(route.route(), path / "route", report);
}

}  // namespace

std::string WhyNoGatewayName(absl::string_view name) {
  const size_t slash = name.find('/');
  if (slash == absl::string_view::npos) return WhyNoFqdn(name);
  for (const absl::string_view part : {name.substr(0, slash), name.substr(slash + 1)}) {
    if (!WhyNoDnsLabel(part).empty()) {
      return absl::StrCat("\"", name, "\" is no gateway: expected NAME or NAMESPACE/NAME");
    }
  }
  return "";
}

void ValidateDestination(const networking::Destination& destination, const Path& path,
                         Report* report) {
  if (destination.host() == "*") {
    report->Error(path / "host", "\"*\" is no destination");
  } else {
    report->Check(path / "host", WhyNoWildcardHost(destination.host()));
  }
  if (!destination.subset().empty()) {
    report->Check(path / "subset", WhyNoDnsLabel(destination.subset()));
  }
  if (destination.has_port()) {
    report->Check(path / "port" / "number", WhyNoPort(destination.port().number()));
  }
}

void ValidateVirtualService(const VirtualService& spec, Report* report) {
  const Path path("spec");
  if (spec.hosts_size() == 0) ValidateDelegate(spec, report);
  for (int i = 0; i < spec.gateways_size(); ++i) {
    const Path at = (path / "gateways")[static_cast<size_t>(i)];
    report->Check(at, WhyNoGatewayName(spec.gateways(i)));
    if (absl::StrContains(spec.gateways(i), '.')) {
      report->Warning(at, "the form NAME.NAMESPACE is out of date: write NAMESPACE/NAME");
    }
  }
  ValidateHosts(spec, report);
  if (spec.http_size() == 0 && spec.tcp_size() == 0 && spec.tls_size() == 0) {
    report->Error(path, "one of http, tls or tcp is required");
  }
  for (int i = 0; i < spec.http_size(); ++i) {
    ValidateHttpRoute(spec.http(i), spec.hosts_size() == 0, (path / "http")[static_cast<size_t>(i)],
                      report);
  }
  for (int i = 0; i < spec.tls_size(); ++i) {
    ValidateTlsRoute(spec.tls(i), spec, (path / "tls")[static_cast<size_t>(i)], report);
  }
  for (int i = 0; i < spec.tcp_size(); ++i) {
    ValidateTcpRoute(spec.tcp(i), (path / "tcp")[static_cast<size_t>(i)], report);
  }
  ValidateExportTo(spec.export_to(), false, path / "exportTo", report);
  AnalyzeReachability(spec, report);
}

}  // namespace meltemi::pilot
