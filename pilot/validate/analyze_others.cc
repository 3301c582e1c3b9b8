// Analyses of what is not a VirtualService.
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/core/v1/service.pb.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/gateway.pb.h"
#include "networking/v1/sidecar.pb.h"
#include "pilot/model/protocol.h"
#include "pilot/validate/analysis.h"
#include "pilot/validate/report.h"

namespace meltemi::pilot {
namespace {

namespace networking = ::istio::networking::v1alpha3;

std::string Shown(const Labels& labels) {
  return absl::StrJoin(labels, ",", absl::PairFormatter("="));
}

bool SelectsAny(const Registry& registry, const Labels& selector, absl::string_view ns) {
  for (const KnownWorkload& workload : registry.workloads()) {
    if ((ns.empty() || workload.ns == ns) && LabelsMatch(selector, workload.labels)) return true;
  }
  return false;
}

// Whether any endpoint of the service has the labels of the subset. True where that cannot be
// known.
bool SubsetHasEndpoints(const Registry& registry, const KnownService& service,
                        const Labels& subset) {
  if (!service.endpoints.empty()) {
    for (const Labels& labels : service.endpoints) {
      if (LabelsMatch(subset, labels)) return true;
    }
    return false;
  }
  if (service.selector.empty() || !SelectsAny(registry, service.selector, service.ns)) return true;
  Labels both = service.selector;
  for (const auto& [key, value] : subset) {
    const auto [it, added] = both.emplace(key, value);
    if (!added && it->second != value) return false;
  }
  return SelectsAny(registry, both, service.ns);
}

void AnalyzeRule(const Registry& registry, const KnownRule& rule, std::vector<Diagnostic>* out) {
  Report report(*rule.object, out);
  const auto& spec = rule.object->Spec<networking::DestinationRule>();
  if (!registry.FindsAny("*", rule.host, rule.object->meta.ns)) {
    return report.Warning(
        Path("spec.host"),
        absl::StrCat("no service has the host \"", rule.host, "\": the rule has no effect"),
        kNotFound);
  }
  const KnownService* service = registry.FindService(rule.host, rule.object->meta.ns);
  if (service == nullptr) return;
  for (int i = 0; i < spec.subsets_size(); ++i) {
    const auto& labels = spec.subsets(i).labels();
    if (SubsetHasEndpoints(registry, *service, Labels(labels.begin(), labels.end()))) continue;
    report.Warning(Path("spec.subsets")[static_cast<size_t>(i)],
                   absl::StrCat("the subset \"", spec.subsets(i).name(),
                                "\" selects no endpoint of \"", service->host, "\""),
                   "IST0173");
  }
}

// Two rules for one host and its subset names.
void AnalyzeDoubleSubsets(const Registry& registry, std::vector<Diagnostic>* out) {
  std::map<std::string, const Object*> first;  // "namespace host subset"
  for (const KnownRule& rule : registry.rules()) {
    const auto& spec = rule.object->Spec<networking::DestinationRule>();
    if (spec.has_workload_selector()) continue;
    for (int i = 0; i < spec.subsets_size(); ++i) {
      const std::string key =
          absl::StrCat(rule.object->meta.ns, " ", rule.host, " ", spec.subsets(i).name());
      const auto [it, added] = first.emplace(key, rule.object);
      if (added || it->second == rule.object) continue;
      Report(*rule.object, out)
          .Warning(Path("spec.subsets")[static_cast<size_t>(i)] / "name",
                   absl::StrCat("the subset \"", spec.subsets(i).name(), "\" of \"", rule.host,
                                "\" is defined in ", it->second->Key().ToString(), " too"));
    }
  }
}

struct GatewayServer {
  const Object* gateway;
  Path path;
  const networking::Server* server;
};

bool ShareAHost(const networking::Server& a, const networking::Server& b) {
  const auto host_of = [](const std::string& scoped) {
    const size_t slash = scoped.find('/');
    return slash == std::string::npos ? scoped : scoped.substr(slash + 1);
  };
  for (const std::string& mine : a.hosts()) {
    for (const std::string& theirs : b.hosts()) {
      if (host_of(mine) == host_of(theirs)) return true;
    }
  }
  return false;
}

void AnalyzeGatewayConflicts(const Registry& registry, std::vector<Diagnostic>* out) {
  std::map<std::string, std::vector<GatewayServer>> by_port;  // "selector port bind"
  for (const Object* gateway : registry.OfKind(Kind::kGateway)) {
    const auto& spec = gateway->Spec<networking::Gateway>();
    const std::string selector = Shown(Labels(spec.selector().begin(), spec.selector().end()));
    for (int i = 0; i < spec.servers_size(); ++i) {
      const auto& server = spec.servers(i);
      by_port[absl::StrCat(selector, " ", server.port().number(), " ", server.bind())].push_back(
          {gateway, Path("spec.servers")[static_cast<size_t>(i)], &server});
    }
  }
  for (const auto& [port, servers] : by_port) {
    for (const GatewayServer& one : servers) {
      for (const GatewayServer& other : servers) {
        if (one.gateway == other.gateway || !ShareAHost(*one.server, *other.server)) continue;
        Report(*one.gateway, out)
            .Error(one.path,
                   absl::StrCat("conflicts with ", other.gateway->Key().ToString(),
                                ": the same workloads, port and hosts"),
                   "IST0145");
      }
    }
  }
}

void AnalyzeEgressHosts(const Registry& registry, const Object& object,
                        std::vector<Diagnostic>* out) {
  const auto& spec = object.Spec<networking::Sidecar>();
  for (int i = 0; i < spec.egress_size(); ++i) {
    for (int j = 0; j < spec.egress(i).hosts_size(); ++j) {
      const std::string& text = spec.egress(i).hosts(j);
      const size_t slash = text.find('/');
      std::string ns = text.substr(0, slash);
      const std::string host = slash == std::string::npos ? "" : text.substr(slash + 1);
      if (ns == ".") ns = object.meta.ns;
      if (ns == "~" || host == "*" || registry.FindsAny(ns, host, object.meta.ns)) continue;
      const Path path = Path("spec.egress")[static_cast<size_t>(i)] / "hosts";
      Report(object, out)
          .Warning(path[static_cast<size_t>(j)],
                   absl::StrCat("Referenced host not found: \"", text, "\""), kNotFound);
    }
  }
}

}  // namespace

void AnalyzeDestinationRules(const Registry& registry, std::vector<Diagnostic>* out) {
  for (const KnownRule& rule : registry.rules()) AnalyzeRule(registry, rule, out);
  AnalyzeDoubleSubsets(registry, out);
}

void AnalyzeGateways(const Registry& registry, std::vector<Diagnostic>* out) {
  AnalyzeGatewayConflicts(registry, out);
  for (const Object* gateway : registry.OfKind(Kind::kGateway)) {
    const auto& selector = gateway->Spec<networking::Gateway>().selector();
    const Labels labels(selector.begin(), selector.end());
    if (registry.workloads().empty() || SelectsAny(registry, labels, "")) continue;
    Report(*gateway, out)
        .Warning(Path("spec.selector"),
                 absl::StrCat("Referenced selector not found: \"", Shown(labels), "\""), kNotFound);
  }
}

void AnalyzeSidecars(const Registry& registry, std::vector<Diagnostic>* out) {
  std::map<std::string, std::vector<const Object*>> without_selector;  // by namespace
  std::map<size_t, std::vector<const Object*>> by_workload;
  for (const Object* sidecar : registry.OfKind(Kind::kSidecar)) {
    AnalyzeEgressHosts(registry, *sidecar, out);
    const auto& selector = sidecar->Spec<networking::Sidecar>().workload_selector().labels();
    const Labels labels(selector.begin(), selector.end());
    if (labels.empty()) {
      without_selector[sidecar->meta.ns].push_back(sidecar);
      continue;
    }
    bool any = false;
    for (size_t i = 0; i < registry.workloads().size(); ++i) {
      const KnownWorkload& workload = registry.workloads()[i];
      if (workload.ns != sidecar->meta.ns || !LabelsMatch(labels, workload.labels)) continue;
      by_workload[i].push_back(sidecar);
      any = true;
    }
    if (!any && !registry.workloads().empty()) {
      Report(*sidecar, out)
          .Warning(Path("spec.workloadSelector"),
                   absl::StrCat("no workload has the labels ", Shown(labels)), "IST0127");
    }
  }
  const auto report_all = [out](const std::vector<const Object*>& sidecars, const char* code,
                                absl::string_view what) {
    if (sidecars.size() < 2) return;
    std::vector<std::string> names;
    for (const Object* sidecar : sidecars) names.push_back(sidecar->meta.name);
    for (const Object* sidecar : sidecars) {
      Report(*sidecar, out)
          .Error(Path("spec.workloadSelector"),
                 absl::StrCat("the Sidecars ", absl::StrJoin(names, ", "), " ", what), code);
    }
  };
  for (const auto& [ns, sidecars] : without_selector) {
    report_all(sidecars, "IST0111", "of the namespace all lack a selector: only one may");
  }
  for (const auto& [workload, sidecars] : by_workload) {
    report_all(sidecars, "IST0110", "select the same workload");
  }
}

void AnalyzeServices(const Registry& registry, std::vector<Diagnostic>* out) {
  for (const Object* object : registry.OfKind(Kind::kService)) {
    const auto& spec = object->Spec<kube::core::v1::Service>().spec();
    for (int i = 0; i < spec.ports_size(); ++i) {
      const auto& port = spec.ports(i);
      if (DetectProtocol(port.protocol(), port.app_protocol(), port.name(),
                         static_cast<uint32_t>(port.port())) != Protocol::kSniffed) {
        continue;
      }
      Report(*object, out)
          .Info(
              Path("spec.ports")[static_cast<size_t>(i)] / "name",
              absl::StrCat("\"", port.name(), "\" (port ", port.port(),
                           ") names no protocol such as \"http\" or \"grpc-web\": the proxy looks "
                           "at the first bytes"),
              "IST0118");
    }
  }
}

}  // namespace meltemi::pilot
