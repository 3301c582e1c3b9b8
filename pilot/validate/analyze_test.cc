#include "pilot/validate/analyze.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "pilot/ingest/decode/manifests.h"

namespace meltemi::pilot {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Object(absl::string_view version, absl::string_view kind, absl::string_view name,
                   absl::string_view rest) {
  const size_t slash = name.find('/');
  const std::string ns(slash == absl::string_view::npos ? "default" : name.substr(0, slash));
  const std::string bare(slash == absl::string_view::npos ? name : name.substr(slash + 1));
  return absl::StrCat("---\napiVersion: ", version, "\nkind: ", kind, "\nmetadata: {name: ", bare,
                      ", namespace: ", ns, "}\n", rest, "\n");
}

std::string Istio(absl::string_view kind, absl::string_view name, absl::string_view spec) {
  return Object("networking.istio.io/v1", kind, name, absl::StrCat("spec: ", spec));
}

std::string Service(absl::string_view name, absl::string_view spec) {
  return Object("v1", "Service", name, absl::StrCat("spec: ", spec));
}

std::string Route(absl::string_view name, absl::string_view hosts, absl::string_view destination) {
  return Istio(
      "VirtualService", name,
      absl::StrCat("{hosts: ", hosts, ", http: [{route: [{destination: ", destination, "}]}]}"));
}

std::string Findings(absl::string_view manifests) {
  const Manifests decoded = DecodeManifests(manifests, "f");
  std::vector<std::string> lines;
  for (const Diagnostic& d : decoded.diagnostics) lines.push_back("DECODE " + d.ToString());
  for (const Diagnostic& d : Analyze(decoded.objects)) {
    lines.push_back(absl::StrCat(SeverityName(d.severity), " [", d.code, "] (", d.object, ") ",
                                 d.path, ": ", d.message));
  }
  return absl::StrJoin(lines, "\n");
}

const std::string kReviews =
    Service("reviews", "{selector: {app: reviews}, ports: [{port: 80, name: http}]}");

TEST(Analyze, AConsistentConfigurationHasNothingToSay) {
  EXPECT_EQ(Findings(kReviews + Route("r", "[reviews]", "{host: reviews, subset: v1}") +
                     Istio("DestinationRule", "d",
                           "{host: reviews, subsets: [{name: v1, labels: {version: v1}}]}")),
            "");
}

TEST(Analyze, DestinationsMustExist) {
  EXPECT_EQ(Findings(kReviews + Route("r", "[reviews]", "{host: review}")),
            "Error [IST0101] (VirtualService default/r) spec.http[0].route[0].destination.host: "
            "Referenced host not found: \"review\"");
  EXPECT_EQ(Findings(kReviews + Route("r", "[reviews]", "{host: reviews, subset: v9}")),
            "Error [IST0101] (VirtualService default/r) spec.http[0].route[0].destination.subset: "
            "Referenced host+subset in destinationrule not found: \"reviews+v9\"");
  EXPECT_THAT(Findings(kReviews + Route("r", "[reviews]", "{host: reviews, port: {number: 81}}")),
              HasSubstr("port.number: Referenced port not found: the service "
                        "\"reviews.default.svc.cluster.local\" has 80"));
  EXPECT_EQ(
      Findings(kReviews + Route("r", "[reviews]", "{host: reviews.default.svc.cluster.local}")),
      "");
}

TEST(Analyze, MirrorsAndDelegatesMustExist) {
  EXPECT_THAT(Findings(kReviews + Istio("VirtualService", "r",
                                        "{hosts: [reviews], http: [{route: [{destination: {host: "
                                        "reviews}}], mirror: {host: gone}}]}")),
              HasSubstr("spec.http[0].mirror.host: Referenced host not found: \"gone\""));
  EXPECT_THAT(Findings(kReviews + Istio("VirtualService", "r",
                                        "{hosts: [reviews], http: [{delegate: {name: gone}}]}")),
              HasSubstr("delegate: Referenced delegate not found: \"default/gone\""));
}

TEST(Analyze, SeveralPortsNeedAChoice) {
  const std::string two =
      Service("two", "{ports: [{port: 80, name: http}, {port: 81, name: http-b}]}");
  EXPECT_THAT(Findings(two + Route("r", "[two]", "{host: two}")),
              AllOf(HasSubstr("Error [IST0112]"), HasSubstr("several ports (80, 81): name one")));
  EXPECT_EQ(Findings(two + Route("r", "[two]", "{host: two, port: {number: 81}}")), "");
}

TEST(Analyze, ServiceEntriesAreServices) {
  const std::string entry =
      Istio("ServiceEntry", "e",
            "{hosts: [\"*.example.com\"], ports: [{number: 80, name: http, protocol: HTTP}]}");
  EXPECT_EQ(Findings(entry + Route("r", "[a.example.com]", "{host: a.example.com}")), "");
  EXPECT_THAT(
      Findings(entry + Route("r", "[a.example.org]", "{host: a.example.com}")),
      HasSubstr("Warning [IST0101] (VirtualService default/r) spec.hosts[0]: no service has"));
}

TEST(Analyze, ExportToHides) {
  const std::string entry = Istio("ServiceEntry", "other/e",
                                  "{hosts: [a.b], exportTo: [\".\"], "
                                  "ports: [{number: 80, name: http, protocol: HTTP}]}");
  EXPECT_THAT(Findings(entry + Route("r", "[a.b]", "{host: a.b}")),
              HasSubstr("Referenced host not found: \"a.b\""));
  EXPECT_EQ(Findings(entry + Route("other/r", "[a.b]", "{host: a.b}")), "");
}

TEST(Analyze, GatewaysMustExistAndTakeTheHostIn) {
  const auto route = [](absl::string_view gateway) {
    return Istio("VirtualService", "r",
                 absl::StrCat("{hosts: [a.b], gateways: [", gateway,
                              "], http: [{route: [{destination: {host: reviews}}]}]}"));
  };
  const std::string gateway =
      Istio("Gateway", "ns/gw",
            "{selector: {app: gw}, servers: [{port: {number: 80, name: http, "
            "protocol: HTTP}, hosts: [\"*.c\", default/a.b]}]}");
  EXPECT_THAT(Findings(kReviews + route("gw")),
              HasSubstr("spec.gateways[0]: Referenced gateway not found: \"gw\""));
  EXPECT_EQ(Findings(kReviews + gateway + route("ns/gw")), "");
  EXPECT_EQ(Findings(kReviews + gateway + route("gw.ns.svc.cluster.local")), "");
  EXPECT_THAT(
      Findings(kReviews + gateway +
               Istio("VirtualService", "r",
                     "{hosts: [x.y], gateways: [ns/gw], http: [{route: [{destination: {host: "
                     "reviews}}]}]}")),
      HasSubstr("Warning [IST0132] (VirtualService default/r) spec.hosts[0]: the gateway"));
}

TEST(Analyze, RulesForTheSameHostAreTold) {
  const std::string both =
      Findings(kReviews + Route("a", "[reviews]", "{host: reviews}") +
               Route("b", "[reviews.default.svc.cluster.local]", "{host: reviews}"));
  EXPECT_THAT(both, AllOf(HasSubstr("Warning [IST0109] (VirtualService default/a) spec.hosts[0]"),
                          HasSubstr("has rules in default/b too"),
                          HasSubstr("(VirtualService default/b)")));
}

TEST(Analyze, AThousandRulesForOneHostAreToldOnceEachAndBriefly) {
  std::string text = kReviews + Service("quiet", "{ports: [{port: 80, name: http}]}") +
                     Route("alone", "[quiet]", "{host: quiet}");
  for (int i = 0; i < 1000; ++i) {
    const std::string name = i % 2 == 0 ? absl::StrCat("r", i) : absl::StrCat("ns", i, "/r");
    text += Route(name, "[reviews.default.svc.cluster.local]",
                  "{host: reviews.default.svc.cluster.local}");
  }
  const std::vector<std::string> lines = absl::StrSplit(Findings(text), '\n');
  EXPECT_EQ(lines.size(), 1000u);
  for (const std::string& line : lines) {
    ASSERT_THAT(line, AllOf(HasSubstr("Warning [IST0109]"), HasSubstr(" and 994 more too")));
    ASSERT_LT(line.size(), 400u);
  }
}

TEST(Analyze, DestinationRulesNeedAServiceAndEndpoints) {
  EXPECT_THAT(
      Findings(Istio("DestinationRule", "d", "{host: gone}")),
      HasSubstr("Warning [IST0101] (DestinationRule default/d) spec.host: no service has the "
                "host \"gone.default.svc.cluster.local\""));
  const std::string rule = Istio("DestinationRule", "d",
                                 "{host: reviews, subsets: [{name: v1, labels: {version: v1}}, "
                                 "{name: v9, labels: {version: v9}}]}");
  const std::string workload =
      Istio("WorkloadEntry", "w", "{address: 10.0.0.1, labels: {app: reviews, version: v1}}");
  EXPECT_EQ(Findings(kReviews + rule), "") << "nothing is known of the workloads";
  EXPECT_EQ(
      Findings(kReviews + rule + workload),
      "Warning [IST0173] (DestinationRule default/d) spec.subsets[1]: the subset \"v9\" selects "
      "no endpoint of \"reviews.default.svc.cluster.local\"");
}

TEST(Analyze, TheSameSubsetInTwoRules) {
  EXPECT_THAT(
      Findings(kReviews + Istio("DestinationRule", "d", "{host: reviews, subsets: [{name: v1}]}") +
               Istio("DestinationRule", "e", "{host: reviews, subsets: [{name: v1}]}")),
      HasSubstr("(DestinationRule default/e) spec.subsets[0].name: the subset \"v1\" of"));
}

TEST(Analyze, GatewaysConflict) {
  const auto gateway = [](absl::string_view name, absl::string_view host) {
    return Istio("Gateway", name,
                 absl::StrCat("{selector: {app: gw}, servers: [{port: {number: 80, name: http, "
                              "protocol: HTTP}, hosts: [",
                              host, "]}]}"));
  };
  EXPECT_THAT(Findings(gateway("a", "x.y") + gateway("b", "x.y")),
              AllOf(HasSubstr("Error [IST0145] (Gateway default/a) spec.servers[0]: conflicts with "
                              "Gateway default/b"),
                    HasSubstr("(Gateway default/b)")));
  EXPECT_EQ(Findings(gateway("a", "x.y") + gateway("b", "x.z")), "");
}

TEST(Analyze, GatewaySelectorsNeedAWorkload) {
  EXPECT_THAT(Findings(Istio("WorkloadEntry", "w", "{address: 10.0.0.1, labels: {app: x}}") +
                       Istio("Gateway", "g",
                             "{selector: {app: gw}, servers: [{port: {number: 80, name: http, "
                             "protocol: HTTP}, hosts: [a.b]}]}")),
              HasSubstr("spec.selector: Referenced selector not found: \"app=gw\""));
}

TEST(Analyze, SidecarsCompete) {
  const std::string workload =
      Istio("WorkloadEntry", "w", "{address: 10.0.0.1, labels: {app: a, v: b}}");
  const auto sidecar = [](absl::string_view name, absl::string_view labels) {
    return Istio(
        "Sidecar", name,
        absl::StrCat("{workloadSelector: {labels: ", labels, "}, egress: [{hosts: [\"./*\"]}]}"));
  };
  EXPECT_THAT(
      Findings(workload + sidecar("s", "{app: a}") + sidecar("t", "{v: b}")),
      HasSubstr("Error [IST0110] (Sidecar default/s) spec.workloadSelector: the Sidecars s, t "
                "select the same workload"));
  EXPECT_THAT(Findings(sidecar("s", "{}") + sidecar("t", "{}")), HasSubstr("Error [IST0111]"));
  EXPECT_THAT(Findings(workload + sidecar("s", "{app: zzz}")), HasSubstr("Warning [IST0127]"));
  EXPECT_THAT(Findings(Istio("Sidecar", "s", "{egress: [{hosts: [\"./gone.example.com\"]}]}")),
              HasSubstr("spec.egress[0].hosts[0]: Referenced host not found"));
}

TEST(Analyze, PortNamesThatNameNoProtocol) {
  EXPECT_THAT(
      Findings(Service("s", "{ports: [{port: 80, name: ssh}]}")),
      HasSubstr("Info [IST0118] (Service default/s) spec.ports[0].name: \"ssh\" (port 80)"));
  EXPECT_EQ(Findings(Service("s", "{ports: [{port: 80, name: ssh, appProtocol: tcp}]}")), "");
  EXPECT_THAT(Findings(kReviews), Not(HasSubstr("IST0118")));
}

TEST(Analyze, TheOrderOfObjectsDoesNotMatter) {
  const std::vector<std::string> objects = {kReviews, Route("a", "[reviews]", "{host: gone}"),
                                            Route("b", "[reviews]", "{host: gone}"),
                                            Istio("DestinationRule", "d", "{host: nobody}")};
  const auto sorted_lines = [](const std::string& findings) {
    std::vector<std::string> lines = absl::StrSplit(findings, '\n');
    std::sort(lines.begin(), lines.end());
    return lines;
  };
  const auto forwards = sorted_lines(Findings(absl::StrJoin(objects, "")));
  EXPECT_EQ(forwards.size(), 5u);
  EXPECT_EQ(sorted_lines(Findings(absl::StrJoin(objects.rbegin(), objects.rend(), ""))), forwards);
}

std::string Peer(absl::string_view name, absl::string_view spec) {
  return Object("security.istio.io/v1", "PeerAuthentication", name, absl::StrCat("spec: ", spec));
}

std::string Pod(absl::string_view name, absl::string_view labels) {
  return absl::StrCat("---\n{apiVersion: v1, kind: Pod, metadata: {name: ", name, ", labels: {",
                      labels, "}}, spec: {}}\n");
}

const std::string kInjected = Pod("r", "app: reviews, security.istio.io/tlsMode: istio");

TEST(AnalyzeMtls, ClientsThatSendWhatServersRefuseAreFound) {
  const std::string plain =
      Istio("DestinationRule", "r", "{host: reviews, trafficPolicy: {tls: {mode: DISABLE}}}");
  const std::string mutual =
      Istio("DestinationRule", "r", "{host: reviews, trafficPolicy: {tls: {mode: ISTIO_MUTUAL}}}");
  EXPECT_EQ(Findings(kReviews + kInjected + mutual), "");
  EXPECT_EQ(Findings(kReviews + kInjected + plain), "");
  EXPECT_EQ(Findings(kReviews + kInjected + plain + Peer("default", "{mtls: {mode: STRICT}}")),
            "Error [IST0113] (DestinationRule default/r) spec.trafficPolicy.tls.mode: clients of "
            "\"reviews.default.svc.cluster.local\" on port 80 send plaintext, which its workloads "
            "refuse: PeerAuthentication says STRICT");
  EXPECT_THAT(Findings(kReviews + kInjected + mutual +
                       Peer("p",
                            "{selector: {matchLabels: {app: reviews}}, portLevelMtls: {80: "
                            "{mode: DISABLE}}}")),
              HasSubstr("[IST0113]"));
  EXPECT_THAT(Findings(kReviews + Pod("r", "app: reviews") + mutual), HasSubstr("[IST0115]"));
  // The rule's port decides, not its policy as a whole.
  EXPECT_EQ(
      Findings(kReviews + kInjected + Peer("istio-system/default", "{mtls: {mode: STRICT}}") +
               Istio("DestinationRule", "r",
                     "{host: reviews, trafficPolicy: {tls: {mode: DISABLE}, "
                     "portLevelSettings: [{port: {number: 80}, tls: {mode: ISTIO_MUTUAL}}]}}")),
      "");
}

TEST(AnalyzePeerAuthentication, WithoutEffect) {
  EXPECT_THAT(Findings(Peer("a", "{mtls: {mode: STRICT}}") + Peer("b", "{mtls: {mode: DISABLE}}")),
              AllOf(HasSubstr("Warning [IST0167] (PeerAuthentication default/b)"),
                    Not(HasSubstr("default/a)"))));
  EXPECT_THAT(Findings(Peer("istio-system/a", "{selector: {matchLabels: {x: y}}}")),
              HasSubstr("[IST0167]"));
  EXPECT_THAT(Findings(kInjected + Peer("a", "{selector: {matchLabels: {app: none}}}")),
              HasSubstr("[IST0127]"));
}

TEST(AnalyzeGateway, CredentialsAndPorts) {
  const auto gateway = [](absl::string_view name, absl::string_view credential) {
    return Istio(
        "Gateway", name,
        absl::StrCat("{selector: {app: edge}, servers: [{hosts: [", name,
                     ".example], port: {number: 443, protocol: HTTPS, name: h}, tls: {mode: "
                     "MUTUAL, credentialName: ",
                     credential, "}}]}"));
  };
  const std::string pod = Pod("edge", "app: edge");
  const auto secret = [](absl::string_view keys) {
    return absl::StrCat("---\n{apiVersion: v1, kind: Secret, metadata: {name: c}, stringData: {",
                        keys, "}}\n");
  };
  EXPECT_EQ(Findings(gateway("g", "c") + pod + secret("cert: a, key: b, cacert: c")), "");
  EXPECT_THAT(Findings(gateway("g", "c") + pod),
              HasSubstr("Error [IST0101] (Gateway default/g) spec.servers[0].tls.credentialName: "
                        "Referenced credentialName not found: \"c\" in namespace default"));
  EXPECT_THAT(Findings(gateway("g", "c") + pod + secret("cert: a, key: b")),
              HasSubstr("[IST0161] (Gateway default/g) spec.servers[0].tls.credentialName: the "
                        "Secret default/c has no ca.crt"));
  EXPECT_THAT(Findings(gateway("g", "c") + gateway("h", "c")), HasSubstr("[IST0138]"));
  EXPECT_THAT(Findings(gateway("g", "c") + pod + secret("cert: a, key: b, cacert: c") +
                       Service("edge", "{selector: {app: edge}, ports: [{port: 80, name: http}]}")),
              HasSubstr("[IST0162]"));
}

}  // namespace
}  // namespace meltemi::pilot
