#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "kube/core/v1/config.pb.h"
#include "kube/core/v1/service.pb.h"
#include "networking/v1/destination_rule.pb.h"
#include "networking/v1/gateway.pb.h"
#include "pilot/model/peer_authentication.h"
#include "pilot/model/secret.h"
#include "pilot/model/service.h"
#include "pilot/validate/analysis.h"
#include "pilot/validate/report.h"
#include "security/v1/peer_authentication.pb.h"

namespace meltemi::pilot {
namespace {

namespace networking = ::istio::networking::v1alpha3;
using networking::ClientTLSSettings;
using networking::ServerTLSSettings;
using PeerSpec = istio::security::v1beta1::PeerAuthentication;

constexpr char kNoEffect[] = "IST0167";
constexpr char kNobodySelected[] = "IST0127";
constexpr char kMtlsConflict[] = "IST0113";
constexpr char kMtlsWithoutSidecar[] = "IST0115";
constexpr char kPortMissing[] = "IST0162";
constexpr char kBadCredential[] = "IST0161";
constexpr char kSharedCertificate[] = "IST0138";

Labels SelectorOf(const PeerSpec& spec) {
  return Labels(spec.selector().match_labels().begin(), spec.selector().match_labels().end());
}

// The policies of one place, of which only the oldest has an effect.
void ReportYounger(std::vector<const Object*> policies, absl::string_view place,
                   std::vector<Diagnostic>* out) {
  std::sort(policies.begin(), policies.end(),
            [](const Object* a, const Object* b) { return CreatedBefore(a->meta, b->meta); });
  for (size_t i = 1; i < policies.size(); ++i) {
    Report(*policies[i], out)
        .Warning(Path("spec"),
                 absl::StrCat("The policy has no impact: ", policies[0]->Key().ToString(),
                              " is older and holds for ", place),
                 kNoEffect);
  }
}

PeerAuthenticationTable PeersOf(const Registry& registry) {
  std::vector<PeerAuthenticationPtr> policies;
  for (const Object* object : registry.OfKind(Kind::kPeerAuthentication)) {
    policies.push_back(DecodePeerAuthentication(object->meta, object->Spec<PeerSpec>()));
  }
  return PeerAuthenticationTable(std::move(policies));
}

// What a rule says of TLS towards one port; null: nothing. `subset`: -1 for the rule as a whole.
struct RuleTls {
  const ClientTLSSettings* settings = nullptr;
  Path path{""};
};

RuleTls TlsOf(const networking::TrafficPolicy& policy, uint32_t port, const Path& path) {
  RuleTls result;
  if (policy.has_tls()) result = {&policy.tls(), path / "tls"};
  for (int i = 0; i < policy.port_level_settings_size(); ++i) {
    const auto& settings = policy.port_level_settings(i);
    if (settings.port().number() != port) continue;
    const Path at = (path / "portLevelSettings")[static_cast<size_t>(i)] / "tls";
    result = settings.has_tls() ? RuleTls{&settings.tls(), at} : RuleTls{};
  }
  return result;
}

// Looks at what rules make clients send, against what the workloads behind take.
class MtlsAnalysis {
 public:
  MtlsAnalysis(const Registry& registry, absl::string_view root_ns, std::vector<Diagnostic>* out)
      : registry_(registry), root_ns_(root_ns), peers_(PeersOf(registry)), out_(*out) {}

  void Run() {
    for (const KnownRule& rule : registry_.rules()) {
      for (const Object* object : registry_.OfKind(Kind::kService)) {
        const std::string host =
            ServiceHost(object->meta.name, object->meta.ns, registry_.domain());
        if (HostCovers(rule.host, host)) CheckRule(rule, *object, host);
      }
    }
  }

 private:
  void CheckRule(const KnownRule& rule, const Object& service, const std::string& host) {
    const auto& spec = rule.object->Spec<networking::DestinationRule>();
    const auto& kube_spec = service.Spec<kube::core::v1::Service>().spec();
    const Labels selector(kube_spec.selector().begin(), kube_spec.selector().end());
    if (selector.empty()) return;
    for (const auto& port : kube_spec.ports()) {
      CheckPort(rule, service, host, selector, port,
                TlsOf(spec.traffic_policy(), static_cast<uint32_t>(port.port()),
                      Path("spec.trafficPolicy")));
      for (int i = 0; i < spec.subsets_size(); ++i) {
        const auto& subset = spec.subsets(i);
        if (!subset.has_traffic_policy()) continue;
        Labels both = selector;
        for (const auto& [key, value] : subset.labels()) both[key] = value;
        CheckPort(rule, service, host, both, port,
                  TlsOf(subset.traffic_policy(), static_cast<uint32_t>(port.port()),
                        Path("spec.subsets")[static_cast<size_t>(i)] / "trafficPolicy"));
      }
    }
  }

  void CheckPort(const KnownRule& rule, const Object& service, const std::string& host,
                 const Labels& selector, const kube::core::v1::ServicePort& port,
                 const RuleTls& tls) {
    if (tls.settings == nullptr) return;
    const bool plain = tls.settings->mode() == ClientTLSSettings::DISABLE;
    const bool mesh = tls.settings->mode() == ClientTLSSettings::ISTIO_MUTUAL;
    const bool bare = tls.settings->mode() == ClientTLSSettings::SIMPLE;
    if (!plain && !mesh && !bare) return;
    // A port by name is the same on no two workloads: then the workload's own mode counts.
    const uint32_t target = port.target_port().int_val() > 0
                                ? static_cast<uint32_t>(port.target_port().int_val())
                                : static_cast<uint32_t>(port.port());
    for (const KnownWorkload& workload : registry_.workloads()) {
      if (workload.ns != service.meta.ns || !LabelsMatch(selector, workload.labels)) continue;
      const MtlsMode mode = peers_.For(workload.ns, root_ns_, workload.labels).ForPort(target);
      if (mode == (mesh ? MtlsMode::kDisable : MtlsMode::kStrict)) {
        return Add(rule, tls,
                   absl::StrCat("clients of \"", host, "\" on port ", port.port(), " send ",
                                mesh    ? "mutual TLS"
                                : plain ? "plaintext"
                                        : "TLS without a certificate",
                                ", which its workloads refuse: PeerAuthentication says ",
                                MtlsModeName(mode)),
                   kMtlsConflict);
      }
      const auto label = workload.labels.find(kTlsModeLabel);
      if (mesh && (label == workload.labels.end() || label->second != "istio") &&
          !workload.has_sidecar) {
        return Add(rule, tls,
                   absl::StrCat("clients of \"", host, "\" on port ", port.port(),
                                " send mutual TLS, but a workload behind it has no sidecar"),
                   kMtlsWithoutSidecar);
      }
    }
  }

  void Add(const KnownRule& rule, const RuleTls& tls, const std::string& message,
           const char* code) {
    if (!reported_.insert({rule.object, absl::StrCat(tls.path.text(), code)}).second) return;
    Report(*rule.object, &out_).Error(tls.path / "mode", message, code);
  }

  const Registry& registry_;
  const absl::string_view root_ns_;
  const PeerAuthenticationTable peers_;
  std::vector<Diagnostic>& out_;
  std::set<std::pair<const Object*, std::string>> reported_;
};

// What a server's credential lacks, in words; empty: nothing.
std::string WhyNoCredential(const Registry& registry, absl::string_view ns, const std::string& name,
                            bool roots) {
  const std::string found_as = name;
  const Object* secret = registry.FindSecret(ns, found_as);
  if (secret == nullptr && absl::EndsWith(name, kRootsSuffix)) {
    secret = registry.FindSecret(ns, name.substr(0, name.size() - kRootsSuffix.size()));
  }
  if (secret == nullptr) {
    return absl::StrCat("Referenced credentialName not found: \"", name, "\" in namespace ", ns);
  }
  const CredentialPtr credential =
      DecodeSecret(secret->meta, secret->Spec<kube::core::v1::Secret>());
  const bool good =
      credential != nullptr &&
      (roots ? !credential->roots.empty() : !credential->key.empty() && !credential->chain.empty());
  if (good) return "";
  return absl::StrCat("the Secret ", ns, "/", secret->meta.name, " has no ",
                      roots ? "ca.crt (or cacert)" : "tls.crt and tls.key (or cert and key)");
}

class GatewayAnalysis {
 public:
  GatewayAnalysis(const Registry& registry, const Object& gateway, std::vector<Diagnostic>* out)
      : registry_(registry), gateway_(gateway), report_(gateway, out) {}

  void Run() {
    const auto& spec = gateway_.Spec<networking::Gateway>();
    const Labels selector(spec.selector().begin(), spec.selector().end());
    for (const KnownWorkload& workload : registry_.workloads()) {
      if (LabelsMatch(selector, workload.labels)) namespaces_.insert(workload.ns);
    }
    for (int i = 0; i < spec.servers_size(); ++i) {
      const Path at = Path("spec.servers")[static_cast<size_t>(i)];
      CheckCredentials(spec.servers(i).tls(), at / "tls");
      CheckPort(spec.servers(i), selector, at / "port" / "number");
    }
  }

 private:
  void CheckCredentials(const ServerTLSSettings& tls, const Path& path) {
    if (!tls.credential_name().empty())
      Check(tls.credential_name(), false, path / "credentialName");
    for (int i = 0; i < tls.credential_names_size(); ++i) {
      Check(tls.credential_names(i), false, (path / "credentialNames")[static_cast<size_t>(i)]);
    }
    const bool mutual =
        tls.mode() == ServerTLSSettings::MUTUAL || tls.mode() == ServerTLSSettings::OPTIONAL_MUTUAL;
    if (!mutual) return;
    if (!tls.ca_cert_credential_name().empty()) {
      Check(tls.ca_cert_credential_name(), true, path / "caCertCredentialName");
    } else if (!tls.credential_name().empty()) {
      Check(absl::StrCat(tls.credential_name(), kRootsSuffix), true, path / "credentialName");
    }
  }

  // Secrets are read from where the gateway's workloads run.
  void Check(const std::string& credential, bool roots, const Path& path) {
    absl::string_view name = credential;
    absl::ConsumePrefix(&name, "kubernetes://");
    if (absl::StrContains(name, "://")) return;
    for (const std::string& ns : namespaces_) {
      const std::string wrong = WhyNoCredential(registry_, ns, std::string(name), roots);
      if (wrong.empty()) continue;
      report_.Error(path, wrong,
                    absl::StartsWith(wrong, "Referenced") ? kNotFound : kBadCredential);
    }
  }

  // Through the gateway's own Service only its ports are reached.
  void CheckPort(const networking::Server& server, const Labels& selector, const Path& path) {
    bool any = false;
    for (const Object* object : registry_.OfKind(Kind::kService)) {
      const auto& spec = object->Spec<kube::core::v1::Service>().spec();
      const Labels own(spec.selector().begin(), spec.selector().end());
      if (own.empty() || !namespaces_.contains(object->meta.ns)) continue;
      const bool serves = std::any_of(
          registry_.workloads().begin(), registry_.workloads().end(), [&](const auto& workload) {
            return workload.ns == object->meta.ns && LabelsMatch(own, workload.labels) &&
                   LabelsMatch(selector, workload.labels);
          });
      if (!serves) continue;
      any = true;
      for (const auto& port : spec.ports()) {
        if (static_cast<uint32_t>(port.port()) == server.port().number()) return;
      }
    }
    if (!any) return;
    report_.Warning(path,
                    absl::StrCat("no Service of the gateway's workloads has the port ",
                                 server.port().number(), ": it is not reached through one"),
                    kPortMissing);
  }

  const Registry& registry_;
  const Object& gateway_;
  Report report_;
  std::set<std::string> namespaces_;  // where its workloads run
};

// Clients that reuse an HTTP/2 connection for another host of one certificate meet the wrong chain.
void AnalyzeSharedCertificates(const Registry& registry, std::vector<Diagnostic>* out) {
  std::map<std::pair<std::string, std::string>, std::vector<const Object*>> users;
  for (const Object* gateway : registry.OfKind(Kind::kGateway)) {
    const auto& spec = gateway->Spec<networking::Gateway>();
    const std::string selector = absl::StrJoin(
        std::map<std::string, std::string>(spec.selector().begin(), spec.selector().end()), ",",
        absl::PairFormatter("="));
    for (const auto& server : spec.servers()) {
      if (server.tls().credential_name().empty()) continue;
      auto& place = users[{selector, server.tls().credential_name()}];
      if (std::find(place.begin(), place.end(), gateway) == place.end()) place.push_back(gateway);
    }
  }
  for (const auto& [key, gateways] : users) {
    if (gateways.size() < 2) continue;
    std::vector<std::string> names;
    for (const Object* gateway : gateways) {
      names.push_back(absl::StrCat(gateway->meta.ns, "/", gateway->meta.name));
    }
    for (const Object* gateway : gateways) {
      Report(*gateway, out)
          .Warning(Path("spec.servers"),
                   absl::StrCat("Duplicate certificate in multiple gateways ",
                                absl::StrJoin(names, ", "),
                                " may cause 404s if clients re-use HTTP2 connections."),
                   kSharedCertificate);
    }
  }
}

}  // namespace

void AnalyzePeerAuthentications(const Registry& registry, absl::string_view root_ns,
                                std::vector<Diagnostic>* out) {
  std::map<std::string, std::vector<const Object*>> without_selector;
  std::map<size_t, std::vector<const Object*>> by_workload;
  for (const Object* object : registry.OfKind(Kind::kPeerAuthentication)) {
    const Labels selector = SelectorOf(object->Spec<PeerSpec>());
    if (selector.empty()) {
      without_selector[object->meta.ns].push_back(object);
      continue;
    }
    if (object->meta.ns == root_ns) {
      Report(*object, out)
          .Warning(Path("spec.selector"),
                   absl::StrCat("The policy has no impact: in ", root_ns,
                                " only policies without a selector count, for the whole mesh"),
                   kNoEffect);
      continue;
    }
    bool any = false;
    for (size_t i = 0; i < registry.workloads().size(); ++i) {
      const KnownWorkload& workload = registry.workloads()[i];
      if (workload.ns != object->meta.ns || !LabelsMatch(selector, workload.labels)) continue;
      by_workload[i].push_back(object);
      any = true;
    }
    if (!any && !registry.workloads().empty()) {
      Report(*object, out)
          .Warning(Path("spec.selector"),
                   absl::StrCat("no workload has the labels ",
                                absl::StrJoin(selector, ",", absl::PairFormatter("="))),
                   kNobodySelected);
    }
  }
  for (const auto& [ns, policies] : without_selector) {
    ReportYounger(policies, ns == root_ns ? "the mesh" : "the namespace", out);
  }
  std::set<std::vector<const Object*>> seen;
  for (const auto& [index, policies] : by_workload) {
    if (seen.insert(policies).second) ReportYounger(policies, "a workload of both", out);
  }
  MtlsAnalysis(registry, root_ns, out).Run();
}

void AnalyzeGatewayTls(const Registry& registry, std::vector<Diagnostic>* out) {
  for (const Object* gateway : registry.OfKind(Kind::kGateway)) {
    GatewayAnalysis(registry, *gateway, out).Run();
  }
  AnalyzeSharedCertificates(registry, out);
}

}  // namespace meltemi::pilot
