#include "pilot/validate/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "pilot/ingest/decode/manifests.h"

namespace meltemi::pilot {
namespace {

using ::testing::HasSubstr;

// One line per finding: "[IST0106] spec.host: what"; warnings begin with "W", infos with "I".
std::string Findings(absl::string_view manifest) {
  const Manifests manifests = DecodeManifests(manifest, "f.yaml");
  std::vector<std::string> lines;
  for (const Diagnostic& d : manifests.diagnostics) lines.push_back("DECODE " + d.ToString());
  for (const ObjectPtr& object : manifests.objects) {
    for (const Diagnostic& d : Validate(*object)) {
      const char* mark = d.severity == Severity::kError     ? ""
                         : d.severity == Severity::kWarning ? "W"
                                                            : "I";
      lines.push_back(
          absl::StrCat(mark, "[", d.code, "] ", d.path, d.path.empty() ? "" : ": ", d.message));
    }
  }
  return absl::StrJoin(lines, "\n");
}

// Of an Istio kind, by its spec in flow style.
std::string Of(absl::string_view kind, absl::string_view spec) {
  return Findings(absl::StrCat("apiVersion: networking.istio.io/v1\nkind: ", kind,
                               "\nmetadata: {name: x}\nspec: ", spec, "\n"));
}

// Of one HTTP route of an otherwise good VirtualService.
std::string Route(absl::string_view route) {
  return Of("VirtualService", absl::StrCat("{hosts: [a], http: [{", route, "}]}"));
}

constexpr char kRoute[] = "route: [{destination: {host: a}}]";

std::string WithRoute(absl::string_view more) { return Route(absl::StrCat(kRoute, ", ", more)); }

std::string Rule(absl::string_view policy) {
  return Of("DestinationRule", absl::StrCat("{host: a, trafficPolicy: {", policy, "}}"));
}

// ---- VirtualService ---------------------------------------------------------------------------

TEST(ValidateVirtualService, AGoodOneHasNothingToSay) {
  EXPECT_EQ(Of("VirtualService", R"({
    hosts: [reviews, "*.example.com", 10.0.0.1], gateways: [mesh, ns/gw], exportTo: ["."],
    http: [{match: [{uri: {prefix: /v2}, headers: {":method": {exact: GET},
                                                     end-user: {regex: "a.*"}},
                     withoutHeaders: {x: {}}, queryParams: {q: {exact: "1"}}, port: 80,
                     sourceLabels: {app: web}, sourceNamespace: prod, gateways: [mesh]}],
            route: [{destination: {host: reviews, subset: v2, port: {number: 80}}, weight: 25},
                    {destination: {host: reviews.prod.svc.cluster.local}, weight: 75,
                     headers: {request: {set: {host: b}}}}],
            timeout: 3s, retries: {attempts: 3, perTryTimeout: 1s, retryOn: "5xx,reset,503"},
            fault: {delay: {percentage: {value: 0.5}, fixedDelay: 5s},
                    abort: {httpStatus: 503, percentage: {value: 100}}},
            mirror: {host: reviews}, mirrorPercentage: {value: 10},
            corsPolicy: {allowOrigins: [{exact: "https://a"}], allowMethods: [GET, POST],
                         allowHeaders: [x-a], exposeHeaders: [x-b], maxAge: 24h},
            headers: {request: {set: {":authority": b}, remove: [x-c]},
                      response: {add: {x: "%RESP(y)%"}}},
            rewrite: {uri: /}},
           {redirect: {authority: other, redirectCode: 302}}]})"),
            "");
}

TEST(ValidateVirtualService, Hosts) {
  EXPECT_EQ(
      Of("VirtualService", "{hosts: [\"a..b\"], http: [{route: [{destination: {host: a}}]}]}"),
      "[IST0106] spec.hosts[0]: \"a..b\" is no host name: the label \"\" is malformed");
  EXPECT_EQ(
      Of("VirtualService", "{hosts: [\"*\"], http: [{route: [{destination: {host: a}}]}]}"),
      "[IST0106] spec.hosts[0]: \"*\" is not allowed for the gateway \"mesh\": name the hosts");
  EXPECT_EQ(Of("VirtualService",
               "{hosts: [\"*\"], gateways: [gw], http: [{route: [{destination: {host: a}}]}]}"),
            "");
  EXPECT_EQ(Of("VirtualService",
               "{hosts: [\"*.b.c\", a.b.c], http: [{route: [{destination: {host: a}}]}]}"),
            "[IST0106] spec.hosts[1]: \"a.b.c\" and \"*.b.c\" cover the same hosts");
  EXPECT_EQ(Of("VirtualService", "{hosts: [a]}"),
            "[IST0106] spec: one of http, tls or tcp is required");
}

TEST(ValidateVirtualService, Delegates) {
  EXPECT_EQ(Of("VirtualService", "{http: [{route: [{destination: {host: a}}]}]}"), "");
  EXPECT_THAT(Of("VirtualService",
                 "{gateways: [gw], tcp: [{route: [{destination: {host: a}}]}], "
                 "http: [{delegate: {name: y}}]}"),
              testing::AllOf(HasSubstr("spec.gateways: a delegate"),
                             HasSubstr("spec.tcp: a delegate has no tcp routes"),
                             HasSubstr("spec.http[0].delegate: a delegate must not")));
  EXPECT_EQ(Route("delegate: {name: y}"), "");
  EXPECT_THAT(WithRoute("delegate: {name: y}"), HasSubstr("spec.http[0]: only one of route"));
}

TEST(ValidateVirtualService, Gateways) {
  EXPECT_EQ(Of("VirtualService",
               "{hosts: [a], gateways: [a/b/c], http: [{route: [{destination: {host: a}}]}]}"),
            "[IST0106] spec.gateways[0]: \"a/b/c\" is no gateway: expected NAME or NAMESPACE/NAME");
  EXPECT_THAT(Of("VirtualService",
                 "{hosts: [a], gateways: [gw.ns], http: [{route: [{destination: {host: a}}]}]}"),
              HasSubstr("W[IST0133] spec.gateways[0]: the form NAME.NAMESPACE is out of date"));
}

TEST(ValidateVirtualService, ARouteHasOneAction) {
  EXPECT_THAT(Route("timeout: 3s"),
              HasSubstr("spec.http[0]: one of route, redirect, directResponse or delegate is"));
  EXPECT_THAT(WithRoute("redirect: {uri: /x}"), HasSubstr("only one of route, redirect"));
  EXPECT_THAT(Route("redirect: {uri: /x}, rewrite: {uri: /y}"),
              HasSubstr("spec.http[0].rewrite: has no effect beside redirect"));
  EXPECT_THAT(Route("redirect: {uri: /x}, fault: {abort: {httpStatus: 500}}"),
              HasSubstr("spec.http[0].fault: has no effect beside redirect"));
}

TEST(ValidateVirtualService, WeightsAndDestinations) {
  EXPECT_EQ(Route("route: [{destination: {host: a}, weight: -1}]"),
            "[IST0106] spec.http[0].route[0].weight: a weight must not be negative");
  EXPECT_EQ(Route("route: [{destination: {host: a}}, {destination: {host: b}}]"),
            "[IST0106] spec.http[0].route: the weights of several destinations must not all be 0");
  EXPECT_EQ(
      Route("route: [{destination: {host: a}, weight: 1}, {destination: {host: b}, weight: 0}]"),
      "");
  EXPECT_EQ(Route("route: [{weight: 100}]"),
            "[IST0106] spec.http[0].route[0]: \"destination\" is required");
  EXPECT_THAT(Route("route: [{destination: {host: \"*\"}}]"), HasSubstr("\"*\" is no destination"));
  EXPECT_THAT(Route("route: [{destination: {subset: v1}}]"), HasSubstr("a host must not be empty"));
  EXPECT_THAT(Route("route: [{destination: {host: a, subset: V_1}}]"),
              HasSubstr("destination.subset: \"V_1\" is no DNS label"));
  EXPECT_THAT(Route("route: [{destination: {host: a, port: {number: 70000}}}]"),
              HasSubstr("destination.port.number: a port must be from 1 to 65535, not 70000"));
  EXPECT_THAT(Route("route: [{destination: {host: a, port: {}}}]"), HasSubstr("not 0"));
}

TEST(ValidateVirtualService, Matches) {
  EXPECT_THAT(
      WithRoute("match: [{uri: {regex: \"a(\"}}]"),
      HasSubstr("spec.http[0].match[0].uri.regex: the regular expression \"a(\" is malformed"));
  EXPECT_THAT(WithRoute("match: [{headers: {a: {regex: \"\"}}}]"),
              HasSubstr("match[0].headers[a].regex: a regular expression must not be empty"));
  EXPECT_THAT(WithRoute(absl::StrCat("match: [{uri: {regex: \"", std::string(1025, 'a'), "\"}}]")),
              HasSubstr("has 1025 characters: more than 1024"));
  EXPECT_THAT(WithRoute("match: [{headers: {\"a b\": {exact: c}}}]"),
              HasSubstr("headers[a b]: \"a b\" is no header name"));
  EXPECT_THAT(WithRoute("match: [{withoutHeaders: {\"\": {}}}]"),
              HasSubstr("a header name must not be empty"));
  EXPECT_THAT(WithRoute("match: [{queryParams: {q: {regex: \"[\"}}}]"),
              HasSubstr("queryParams[q].regex: the regular"));
  EXPECT_THAT(WithRoute("match: [{port: 70000}]"), HasSubstr("match[0].port: a port must be"));
  EXPECT_THAT(WithRoute("match: [{sourceLabels: {\"a b\": c}}]"), HasSubstr("is no label key"));
  EXPECT_THAT(WithRoute("match: [{sourceLabels: {a: \"b c\"}}]"), HasSubstr("is no label value"));
  EXPECT_THAT(WithRoute("match: [{sourceNamespace: A}]"),
              HasSubstr("sourceNamespace: \"A\" is no"));
  EXPECT_THAT(WithRoute("match: [{gateways: [\"a/\"]}]"), HasSubstr("\"a/\" is no gateway"));
}

TEST(ValidateVirtualService, HeaderMutations) {
  EXPECT_THAT(WithRoute("headers: {request: {set: {\"a b\": c}}}"),
              HasSubstr("spec.http[0].headers.request.set[a b]: \"a b\" is no header name"));
  EXPECT_THAT(WithRoute("headers: {request: {add: {\":path\": c}}}"),
              HasSubstr("request.add[:path]: \":path\" is no header name"));
  EXPECT_THAT(WithRoute("headers: {response: {set: {host: c}}}"),
              HasSubstr("response.set[host]: \"host\" must not be changed here"));
  EXPECT_THAT(WithRoute("headers: {request: {remove: [host]}}"),
              HasSubstr("request.remove[0]: \"host\" must not be changed here"));
  EXPECT_THAT(WithRoute("headers: {request: {set: {a: \"100%\"}}}"),
              HasSubstr("request.set[a]: a single \"%\" is not allowed"));
  EXPECT_THAT(WithRoute("headers: {request: {set: {a: \"b\\nc\"}}}"),
              HasSubstr("must not hold control characters"));
  EXPECT_THAT(WithRoute("headers: {request: {set: {host: b}}}, rewrite: {authority: c}"),
              HasSubstr("the authority is rewritten more than once"));
  EXPECT_THAT(
      Route("route: [{destination: {host: a}, headers: {request: {set: {\":authority\": b}}}}]"),
      HasSubstr("\":authority\" must not be changed here"));
}

TEST(ValidateVirtualService, TimeoutsAndRetries) {
  EXPECT_EQ(WithRoute("timeout: 0s"),
            "[IST0106] spec.http[0].timeout: a duration must be at least 1ms");
  EXPECT_THAT(WithRoute("timeout: 1500us"), HasSubstr("in whole milliseconds"));
  EXPECT_THAT(WithRoute("timeout: -1s"), HasSubstr("at least 1ms"));
  EXPECT_EQ(WithRoute("retries: {attempts: 3, retryOn: 5xx}"), "");
  EXPECT_THAT(WithRoute("retries: {attempts: -1}"), HasSubstr("attempts: must not be negative"));
  EXPECT_THAT(WithRoute("retries: {retryOn: 5xx}"), HasSubstr("attempts is 0"));
  EXPECT_EQ(WithRoute("retries: {attempts: 0}"), "");
  EXPECT_THAT(WithRoute("retries: {attempts: 1, retryOn: \"5xx, reset\"}"),
              HasSubstr("retries.retryOn: \" reset\" is no condition for a retry"));
  EXPECT_THAT(WithRoute("retries: {attempts: 1, perTryTimeout: 1ns}"),
              HasSubstr("retries.perTryTimeout: a duration must be at least 1ms"));
  EXPECT_THAT(WithRoute("retries: {attempts: 1, backoff: 0s}"), HasSubstr("retries.backoff"));
}

TEST(ValidateVirtualService, Faults) {
  EXPECT_THAT(WithRoute("fault: {}"), HasSubstr("fault: one of delay and abort is required"));
  EXPECT_THAT(WithRoute("fault: {delay: {percentage: {value: 101}, fixedDelay: 1s}}"),
              HasSubstr("delay.percentage.value: a percentage must be 0, or from 0.0001 to 100"));
  EXPECT_THAT(WithRoute("fault: {delay: {percentage: {value: 0.00001}, fixedDelay: 1s}}"),
              HasSubstr("not 1e-05"));
  EXPECT_THAT(WithRoute("fault: {delay: {percentage: {value: 1}}}"),
              HasSubstr("\"fixedDelay\" is required"));
  EXPECT_THAT(WithRoute("fault: {delay: {percent: 5, fixedDelay: 1s}}"),
              HasSubstr("W[IST0002] spec.http[0].fault.delay.percent: is out of date"));
  EXPECT_THAT(WithRoute("fault: {delay: {exponentialDelay: 1s}}"),
              HasSubstr("[MELT0010] spec.http[0].fault.delay.exponentialDelay: exponentialDelay is "
                        "not supported yet"));
  EXPECT_THAT(WithRoute("fault: {abort: {httpStatus: 99}}"),
              HasSubstr("abort.httpStatus: must be from 200 to 599, not 99"));
  EXPECT_THAT(WithRoute("fault: {abort: {grpcStatus: NOPE}}"), HasSubstr("is no gRPC status"));
  EXPECT_EQ(WithRoute("fault: {abort: {grpcStatus: UNAVAILABLE}}"), "");
  EXPECT_THAT(WithRoute("fault: {abort: {http2Error: X}}"), HasSubstr("[MELT0010]"));
  EXPECT_THAT(WithRoute("fault: {abort: {}}"), HasSubstr("one of httpStatus and grpcStatus"));
}

TEST(ValidateVirtualService, Mirrors) {
  EXPECT_THAT(WithRoute("mirror: {host: \"*\"}"), HasSubstr("spec.http[0].mirror.host"));
  EXPECT_THAT(WithRoute("mirror: {host: b}, mirrorPercentage: {value: 101}"),
              HasSubstr("mirrorPercentage.value: a percentage"));
  EXPECT_THAT(WithRoute("mirror: {host: b}, mirrorPercent: 50"),
              HasSubstr("W[IST0002] spec.http[0].mirrorPercent: is out of date"));
  EXPECT_THAT(WithRoute("mirror: {host: b}, mirrors: [{destination: {host: c}}]"),
              HasSubstr("only one of mirror and mirrors"));
  EXPECT_THAT(WithRoute("mirrors: [{percentage: {value: -1}}]"),
              testing::AllOf(HasSubstr("mirrors[0]: \"destination\" is required"),
                             HasSubstr("mirrors[0].percentage.value: a percentage")));
}

TEST(ValidateVirtualService, RedirectsRewritesAndDirectResponses) {
  EXPECT_THAT(Route("redirect: {}"), HasSubstr("redirect: one of uri, prefixRewrite, authority"));
  EXPECT_THAT(Route("redirect: {uri: /, redirectCode: 200}"),
              HasSubstr("redirectCode: must be from 300 to 399, not 200"));
  EXPECT_THAT(Route("redirect: {scheme: ftp}"), HasSubstr("must be \"http\" or \"https\""));
  EXPECT_THAT(Route("redirect: {port: 0}"), HasSubstr("redirect.port: a port must be"));
  EXPECT_EQ(Route("redirect: {derivePort: FROM_REQUEST_PORT, authority: b}"), "");
  EXPECT_THAT(WithRoute("rewrite: {}"), HasSubstr("rewrite: one of uri, authority or"));
  EXPECT_THAT(WithRoute("rewrite: {uriRegexRewrite: {match: \"(\", rewrite: x}}"),
              HasSubstr("uriRegexRewrite.match: the regular expression"));
  EXPECT_THAT(WithRoute("rewrite: {uri: /, uriRegexRewrite: {match: a}}"),
              testing::AllOf(HasSubstr("only one of uri and uriRegexRewrite"),
                             HasSubstr("uriRegexRewrite.rewrite: is required")));
  EXPECT_EQ(Route("directResponse: {status: 503, body: {string: sorry}}"), "");
  EXPECT_THAT(Route("directResponse: {status: 600}"), HasSubstr("must be from 200 to 599"));
}

TEST(ValidateVirtualService, Cors) {
  EXPECT_THAT(WithRoute("corsPolicy: {allowOrigins: [{}]}"),
              HasSubstr("allowOrigins[0]: one of exact, prefix and regex is required"));
  EXPECT_THAT(WithRoute("corsPolicy: {allowOrigins: [{regex: \"(\"}]}"), HasSubstr("malformed"));
  EXPECT_THAT(WithRoute("corsPolicy: {allowMethods: [get]}"),
              HasSubstr("allowMethods[0]: \"get\" is no HTTP method"));
  EXPECT_THAT(WithRoute("corsPolicy: {allowHeaders: [\"a:\"]}"), HasSubstr("allowHeaders[0]"));
  EXPECT_THAT(WithRoute("corsPolicy: {maxAge: 1500ms}"), HasSubstr("must be in whole seconds"));
  EXPECT_THAT(WithRoute("corsPolicy: {allowOrigin: [a]}"), HasSubstr("W[IST0002]"));
}

TEST(ValidateVirtualService, TlsAndTcpRoutes) {
  const auto tls = [](absl::string_view route) {
    return Of("VirtualService",
              absl::StrCat("{hosts: [\"*.b.c\"], gateways: [gw], tls: [", route, "]}"));
  };
  EXPECT_EQ(tls("{match: [{sniHosts: [a.b.c], port: 443}], route: [{destination: {host: a}}]}"),
            "");
  EXPECT_THAT(tls("{route: [{destination: {host: a}}]}"), HasSubstr("a tls route needs a match"));
  EXPECT_THAT(tls("{match: [{}], route: [{destination: {host: a}}]}"),
              HasSubstr("spec.tls[0].match[0].sniHosts: at least one is required"));
  EXPECT_THAT(tls("{match: [{sniHosts: [x.y]}], route: [{destination: {host: a}}]}"),
              HasSubstr("\"x.y\" is covered by none of spec.hosts"));
  EXPECT_THAT(tls("{match: [{sniHosts: [a.b.c]}]}"), HasSubstr("at least one destination"));
  const auto tcp = [](absl::string_view route) {
    return Of("VirtualService", absl::StrCat("{hosts: [a], tcp: [", route, "]}"));
  };
  EXPECT_EQ(tcp("{match: [{port: 27017, destinationSubnets: [10.0.0.0/8]}], "
                "route: [{destination: {host: a}}]}"),
            "");
  EXPECT_THAT(
      tcp("{match: [{destinationSubnets: [10.0.0.0/33]}], route: [{destination: {host: a}}]}"),
      HasSubstr("destinationSubnets[0]: \"10.0.0.0/33\" is no subnet"));
  EXPECT_THAT(tcp("{route: [{destination: {host: a}}, {destination: {host: b}}]}"),
              HasSubstr("spec.tcp[0].route: the weights"));
}

TEST(ValidateVirtualService, ExportTo) {
  const auto with = [](absl::string_view words) {
    return Of("VirtualService", absl::StrCat("{hosts: [a], exportTo: ", words,
                                             ", http: [{route: [{destination: {host: a}}]}]}"));
  };
  EXPECT_EQ(with("[\".\", other]"), "");
  EXPECT_THAT(with("[\"~\"]"), HasSubstr("\"~\" is only for a ServiceEntry"));
  EXPECT_THAT(with("[\".\", default]"),
              HasSubstr("exportTo[1]: \"default\" names a namespace twice"));
  EXPECT_THAT(with("[\"*\", a]"), HasSubstr("must stand alone"));
  EXPECT_THAT(with("[A]"), HasSubstr("is no DNS label"));
}

// ---- reachability -------------------------------------------------------------------------------

std::string Rules(const std::vector<std::string>& matches) {
  std::vector<std::string> routes;
  for (const std::string& match : matches) {
    routes.push_back(absl::StrCat("{", match.empty() ? "" : absl::StrCat("match: [", match, "], "),
                                  kRoute, "}"));
  }
  return Of("VirtualService",
            absl::StrCat("{hosts: [a], http: [", absl::StrJoin(routes, ", "), "]}"));
}

TEST(Reachability, ARuleAfterACatchAllIsNeverUsed) {
  EXPECT_EQ(Rules({"{uri: {prefix: /a}}", ""}), "");
  EXPECT_EQ(Rules({"", "{uri: {prefix: /a}}"}),
            "W[IST0130] spec.http[1]: is never used: rule 0 takes all that it matches before");
  EXPECT_EQ(Rules({"", ""}),
            "W[IST0130] spec.http[1]: is never used: rule 0 takes everything before");
  EXPECT_EQ(Rules({"{uri: {prefix: /}}", "{method: {exact: GET}}"}),
            "W[IST0130] spec.http[1]: is never used: rule 0 takes all that it matches before");
}

TEST(Reachability, AMatchThatAnEarlierOneCoversIsTold) {
  EXPECT_THAT(Rules({"{uri: {exact: /a}}", "{uri: {exact: /a}}"}), HasSubstr("IST0130"));
  EXPECT_EQ(Rules({"{uri: {prefix: /a}}", "{uri: {prefix: /a/b}}, {uri: {prefix: /c}}"}),
            "I[IST0131] spec.http[1].match[0]: has no effect: rule 0 takes all of it before");
  EXPECT_EQ(Rules({"{uri: {prefix: /a/b}}", "{uri: {prefix: /a}}"}), "");
  EXPECT_EQ(Rules({"{uri: {prefix: /a}, port: 80}", "{uri: {prefix: /a}}"}), "");
  EXPECT_THAT(Rules({"{uri: {prefix: /a}}", "{uri: {exact: /ab}, port: 80}"}),
              HasSubstr("IST0130"));
  EXPECT_EQ(Rules({"{uri: {regex: \"/a.*\"}}", "{uri: {prefix: /a}}"}), "");
  EXPECT_THAT(Rules({"{uri: {prefix: /A}, ignoreUriCase: true}", "{uri: {prefix: /a/b}}"}),
              HasSubstr("IST0130"));
  EXPECT_EQ(Rules({"{uri: {prefix: /a}}", "{uri: {prefix: /a/b}, ignoreUriCase: true}"}), "");
}

TEST(Reachability, HeadersAndLabelsNarrow) {
  EXPECT_EQ(Rules({"{headers: {a: {exact: x}}}", "{headers: {b: {exact: x}}}"}), "");
  EXPECT_THAT(Rules({"{headers: {a: {}}}", "{headers: {a: {exact: x}, b: {exact: z}}}"}),
              HasSubstr("IST0130"));
  EXPECT_EQ(Rules({"{withoutHeaders: {a: {exact: x}}}", "{uri: {prefix: /a}}"}), "");
  EXPECT_THAT(Rules({"{withoutHeaders: {a: {exact: x}}}", "{withoutHeaders: {a: {prefix: x}}}"}),
              HasSubstr("IST0130"));
  EXPECT_EQ(Rules({"{sourceLabels: {a: b}}", "{sourceLabels: {a: c}}"}), "");
  EXPECT_THAT(Rules({"{sourceLabels: {a: b}}", "{sourceLabels: {a: b, c: d}}"}),
              HasSubstr("IST0130"));
  EXPECT_EQ(Rules({"{gateways: [mesh]}", "{uri: {prefix: /a}}"}), "");
  EXPECT_THAT(Rules({"{gateways: [mesh, gw]}", "{gateways: [gw]}"}), HasSubstr("IST0130"));
}

// ---- DestinationRule ----------------------------------------------------------------------------

TEST(ValidateDestinationRule, AGoodOneHasNothingToSay) {
  EXPECT_EQ(Of("DestinationRule", R"({
    host: reviews, exportTo: ["*"],
    trafficPolicy: {loadBalancer: {consistentHash: {httpCookie: {name: c, ttl: 0s},
                                                    maglev: {tableSize: 65537}}},
      connectionPool: {tcp: {maxConnections: 1, connectTimeout: 30ms,
                             tcpKeepalive: {time: 2h, interval: 75s}},
                       http: {http1MaxPendingRequests: 1, maxRequestsPerConnection: 1,
                              idleTimeout: 1h}},
      outlierDetection: {consecutive5xxErrors: 7, interval: 5m, baseEjectionTime: 15m,
                         maxEjectionPercent: 10},
      portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: ROUND_ROBIN}}]},
    subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2},
               trafficPolicy: {loadBalancer: {simple: RANDOM}}}]})"),
            "");
}

TEST(ValidateDestinationRule, HostAndSubsets) {
  EXPECT_EQ(Of("DestinationRule", "{}"), "[IST0106] spec.host: a host must not be empty");
  EXPECT_THAT(Of("DestinationRule", "{host: a, subsets: [{labels: {a: b}}]}"),
              HasSubstr("spec.subsets[0]: \"name\" is required"));
  EXPECT_THAT(Of("DestinationRule", "{host: a, subsets: [{name: V1}]}"),
              HasSubstr("spec.subsets[0].name: \"V1\" is no DNS label"));
  EXPECT_THAT(Of("DestinationRule", "{host: a, subsets: [{name: b}, {name: b}]}"),
              HasSubstr("spec.subsets[1].name: the subset \"b\" is there already"));
  EXPECT_THAT(Of("DestinationRule", "{host: a, subsets: [{name: b, labels: {\"x y\": z}}]}"),
              HasSubstr("labels[x y]: \"x y\" is no label key"));
  EXPECT_THAT(Of("DestinationRule", "{host: a, subsets: [{name: b, trafficPolicy: {}}]}"),
              HasSubstr("spec.subsets[0].trafficPolicy: holds no settings"));
}

TEST(ValidateDestinationRule, LoadBalancers) {
  EXPECT_THAT(Rule("loadBalancer: {consistentHash: {}}"), HasSubstr("one of httpHeaderName"));
  EXPECT_THAT(Rule("loadBalancer: {consistentHash: {httpCookie: {ttl: 1s}}}"),
              HasSubstr("httpCookie: \"name\" is required"));
  EXPECT_THAT(Rule("loadBalancer: {consistentHash: {httpHeaderName: \"a b\"}}"),
              HasSubstr("is no header name"));
  EXPECT_THAT(Rule("loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 100}}}"),
              HasSubstr("maglev.tableSize: must be a prime number"));
  EXPECT_THAT(Rule("loadBalancer: {consistentHash: {useSourceIp: true, ringHash: {minimumRingSize: "
                   "9000000}}}"),
              HasSubstr("must be at most 8388608"));
  EXPECT_THAT(Rule("loadBalancer: {simple: LEAST_CONN}"), HasSubstr("W[IST0002]"));
  EXPECT_THAT(
      Rule("loadBalancer: {localityLbSetting: {distribute: [{from: a, to: {b: 50}}]}}"),
      testing::AllOf(HasSubstr("the weights must make 100, not 50"), HasSubstr("W[MELT0010]")));
  EXPECT_THAT(Rule("loadBalancer: {simple: RANDOM, warmup: {}}"),
              HasSubstr("\"duration\" is required"));
}

TEST(ValidateDestinationRule, ConnectionPools) {
  EXPECT_THAT(Rule("connectionPool: {}"), HasSubstr("one of tcp and http is required"));
  EXPECT_EQ(Rule("connectionPool: {tcp: {maxConnections: -1}}"),
            "[IST0106] spec.trafficPolicy.connectionPool.tcp.maxConnections: must not be negative, "
            "but is -1");
  EXPECT_THAT(Rule("connectionPool: {tcp: {connectTimeout: 0s}}"), HasSubstr("at least 1ms"));
  EXPECT_THAT(Rule("connectionPool: {http: {http1MaxPendingRequests: -1, http2MaxRequests: -1, "
                   "maxRequestsPerConnection: -1, maxRetries: -1, maxConcurrentStreams: -1}}"),
              testing::AllOf(HasSubstr("http1MaxPendingRequests"), HasSubstr("http2MaxRequests"),
                             HasSubstr("maxRequestsPerConnection"), HasSubstr("maxRetries"),
                             HasSubstr("maxConcurrentStreams")));
  EXPECT_THAT(Rule("connectionPool: {http: {h2UpgradePolicy: UPGRADE, useClientProtocol: true}}"),
              HasSubstr("contradicts h2UpgradePolicy"));
}

TEST(ValidateDestinationRule, OutlierDetection) {
  EXPECT_THAT(Rule("outlierDetection: {maxEjectionPercent: 101}"),
              HasSubstr("maxEjectionPercent: a percentage must be from 0 to 100, not 101"));
  EXPECT_THAT(Rule("outlierDetection: {minHealthPercent: -1}"), HasSubstr("minHealthPercent"));
  EXPECT_THAT(Rule("outlierDetection: {interval: 1us}"), HasSubstr("interval: a duration"));
  EXPECT_THAT(Rule("outlierDetection: {consecutiveErrors: 5}"), HasSubstr("W[IST0002]"));
  EXPECT_THAT(Rule("outlierDetection: {consecutiveLocalOriginFailures: 5}"),
              HasSubstr("unless splitExternalLocalOriginErrors is true"));
}

TEST(ValidateDestinationRule, PortsAndTls) {
  EXPECT_THAT(Rule("portLevelSettings: [{loadBalancer: {simple: RANDOM}}]"),
              HasSubstr("portLevelSettings[0]: \"port\" is required"));
  EXPECT_THAT(Rule("portLevelSettings: [{port: {number: 80}}]"), HasSubstr("holds no settings"));
  EXPECT_THAT(Rule("portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}, "
                   "{port: {number: 80}, loadBalancer: {simple: RANDOM}}]"),
              HasSubstr("portLevelSettings[1].port.number: port 80 has settings already"));
  EXPECT_EQ(Rule("tls: {mode: DISABLE}"), "");
  EXPECT_THAT(Rule("tls: {mode: MUTUAL}"), HasSubstr("\"clientCertificate\" is required"));
  EXPECT_EQ(Rule("tls: {mode: SIMPLE}"), "");
  EXPECT_EQ(Rule("tls: {mode: MUTUAL, credentialName: c}"),
            "W[IST0133] spec.trafficPolicy.tls.credentialName: has an effect at gateways only: "
            "without a workloadSelector sidecars do not encrypt");
  EXPECT_EQ(Rule("tls: {mode: ISTIO_MUTUAL, sni: a.b}"), "");
  EXPECT_THAT(Rule("tls: {mode: ISTIO_MUTUAL, caCertificates: /a}"),
              HasSubstr("ISTIO_MUTUAL takes no certificates"));
  EXPECT_THAT(Rule("tls: {mode: SIMPLE, insecureSkipVerify: true, subjectAltNames: [a]}"),
              HasSubstr("tls.insecureSkipVerify: contradicts"));
  EXPECT_THAT(Rule("tls: {mode: SIMPLE, caCrl: /a}"), HasSubstr("[MELT0010]"));
  EXPECT_THAT(Rule("tunnel: {targetHost: a, targetPort: 1}"), HasSubstr("[MELT0010]"));
  EXPECT_THAT(Rule("proxyProtocol: {version: V1}"), HasSubstr("[MELT0010]"));
}

// ---- Gateway, ServiceEntry, WorkloadEntry, Sidecar
// ------------------------------------------------

TEST(ValidateGateway, Servers) {
  const auto server = [](absl::string_view text) {
    return Of("Gateway", absl::StrCat("{selector: {app: gw}, servers: [{", text, "}]}"));
  };
  const std::string port = "port: {number: 80, name: http, protocol: HTTP}";
  EXPECT_EQ(server(port + ", hosts: [\"*\", ns/a.b, ./c.d, \"*/*.e.f\"]"), "");
  EXPECT_EQ(Of("Gateway", "{}"), "[IST0106] spec: \"servers\" is required");
  EXPECT_THAT(server(port), HasSubstr("spec.servers[0]: \"hosts\" is required"));
  EXPECT_THAT(server("hosts: [a.b]"), HasSubstr("spec.servers[0]: \"port\" is required"));
  EXPECT_THAT(server(port + ", hosts: [short]"), HasSubstr("short names are not allowed"));
  EXPECT_THAT(server(port + ", hosts: [A_/a.b]"), HasSubstr("\"A_\" is no namespace"));
  EXPECT_THAT(server("hosts: [a.b], port: {number: 80, protocol: HTTPX, name: h}"),
              HasSubstr("\"HTTPX\" is no protocol"));
  EXPECT_THAT(server("hosts: [a.b], port: {number: 80, protocol: HTTP}"),
              HasSubstr("port: \"name\" is required"));
  EXPECT_THAT(server("hosts: [a.b], port: {number: 443, protocol: HTTPS, name: h}"),
              HasSubstr("\"tls\" is required for HTTPS"));
  EXPECT_EQ(server(port + ", hosts: [a.b], tls: {httpsRedirect: true}"), "");
  EXPECT_THAT(server(port + ", hosts: [a.b], tls: {mode: SIMPLE}"),
              HasSubstr("tls: must not be set for HTTP"));
  EXPECT_THAT(
      server("hosts: [a.b], port: {number: 443, protocol: HTTPS, name: h}, tls: {mode: SIMPLE}"),
      HasSubstr("\"serverCertificate\" is required"));
  EXPECT_EQ(
      server("hosts: [a.b], port: {number: 443, protocol: TLS, name: t}, tls: {mode: PASSTHROUGH}"),
      "");
  EXPECT_THAT(server(port + ", hosts: [a.b], bind: nowhere"),
              HasSubstr("bind: \"nowhere\" is no IP"));
  EXPECT_THAT(Of("Gateway", absl::StrCat("{servers: [{", port, ", hosts: [a.b]}, {", port,
                                         ", hosts: [c.d]}]}")),
              HasSubstr("spec.servers[1].port.name: the port name \"http\" is there already"));
}

TEST(ValidateGateway, Tls) {
  const auto tls = [](absl::string_view text) {
    return Of("Gateway", absl::StrCat("{servers: [{hosts: [a.b], port: {number: 443, protocol: "
                                      "HTTPS, name: h}, tls: {",
                                      text, "}}]}"));
  };
  EXPECT_EQ(tls("mode: SIMPLE, credentialName: c"), "");
  EXPECT_EQ(tls("mode: OPTIONAL_MUTUAL, credentialName: c, minProtocolVersion: TLSV1_3"), "");
  EXPECT_EQ(tls("mode: ISTIO_MUTUAL"), "");
  EXPECT_THAT(tls("mode: ISTIO_MUTUAL, credentialName: c"), HasSubstr("takes no certificates"));
  EXPECT_THAT(tls("mode: AUTO_PASSTHROUGH"), HasSubstr("[MELT0010] spec.servers[0].tls.mode"));
  EXPECT_THAT(tls("mode: SIMPLE, credentialName: c, serverCertificate: /a, privateKey: /b"),
              HasSubstr("only one of credentialName"));
  EXPECT_THAT(tls("mode: SIMPLE, credentialNames: [a, b]"), HasSubstr("[MELT0010]"));
  EXPECT_THAT(tls("mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_1"),
              HasSubstr("TLS below 1.2"));
  EXPECT_THAT(tls("mode: SIMPLE, credentialName: c, minProtocolVersion: TLSV1_3, "
                  "maxProtocolVersion: TLSV1_2"),
              HasSubstr("minProtocolVersion: is above maxProtocolVersion"));
  EXPECT_THAT(tls("mode: SIMPLE, credentialName: c, cipherSuites: [ROT13, AES256-SHA, AES256-SHA]"),
              testing::AllOf(HasSubstr("W[IST0133] spec.servers[0].tls.cipherSuites[0]: ignoring "
                                       "invalid cipher suites: \"ROT13\""),
                             HasSubstr("cipherSuites[2]: ignoring duplicate")));
}

TEST(ValidatePeerAuthentication, Rules) {
  const auto policy = [](absl::string_view spec) {
    return Findings(
        absl::StrCat("apiVersion: security.istio.io/v1beta1\nkind: PeerAuthentication\n"
                     "metadata: {name: x}\nspec: ",
                     spec, "\n"));
  };
  EXPECT_EQ(policy("{mtls: {mode: STRICT}}"), "");
  EXPECT_EQ(policy("{}"), "");
  EXPECT_EQ(policy("{selector: {matchLabels: {a: b}}, portLevelMtls: {8080: {mode: DISABLE}}}"),
            "");
  EXPECT_THAT(policy("{portLevelMtls: {8080: {mode: DISABLE}}}"),
              HasSubstr("spec.portLevelMtls: mesh/namespace peer authentication cannot have port "
                        "level mTLS"));
  EXPECT_THAT(policy("{selector: {matchLabels: {a: b}}, portLevelMtls: {70000: {}}}"),
              HasSubstr("spec.portLevelMtls[70000]"));
  EXPECT_THAT(policy("{selector: {matchLabels: {a: \"*\"}}}"), HasSubstr("takes no wildcards"));
  EXPECT_THAT(policy("{mtls: {mode: LAX}}"), HasSubstr("spec.mtls.mode"));
  EXPECT_THAT(policy("{mtsl: {mode: STRICT}}"), HasSubstr("unknown field \"mtsl\""));
}

TEST(ValidateSecret, OfTypeTlsHasBothParts) {
  const auto secret = [](absl::string_view rest) {
    return Findings(
        absl::StrCat("{apiVersion: v1, kind: Secret, metadata: {name: x}, ", rest, "}"));
  };
  EXPECT_EQ(secret("type: Opaque, data: {a: YQ==}"), "");
  EXPECT_EQ(secret("type: kubernetes.io/tls, data: {tls.crt: YQ==}, stringData: {tls.key: k}"), "");
  EXPECT_THAT(secret("type: kubernetes.io/tls, data: {tls.crt: YQ==}"),
              HasSubstr("data[tls.key]: Required value"));
  EXPECT_THAT(secret("data: {a: \"%\"}"), HasSubstr("data"));
}

TEST(ValidateServiceEntry, Rules) {
  const auto entry = [](absl::string_view text) {
    return Of("ServiceEntry", absl::StrCat("{", text, "}"));
  };
  const std::string port = "ports: [{number: 80, name: http, protocol: HTTP}]";
  EXPECT_EQ(entry("hosts: [a.b], resolution: DNS, location: MESH_EXTERNAL, " + port), "");
  EXPECT_EQ(
      entry(
          "hosts: [a.b], resolution: STATIC, endpoints: [{address: 10.0.0.1, ports: {http: 8080}, "
          "labels: {a: b}}], " +
          port),
      "");
  EXPECT_THAT(entry(port), HasSubstr("spec: \"hosts\" is required"));
  EXPECT_THAT(entry("hosts: [a.b]"), HasSubstr("spec: \"ports\" is required"));
  EXPECT_THAT(entry("hosts: [\"*\"], " + port), HasSubstr("would take all hosts"));
  EXPECT_THAT(entry("hosts: [\"*.b.c\"], resolution: DNS, " + port),
              HasSubstr("DNS cannot resolve a wildcard"));
  EXPECT_THAT(entry("hosts: [a.b], addresses: [x], " + port),
              HasSubstr("addresses[0]: \"x\" is no IP"));
  EXPECT_THAT(entry("hosts: [a.b], addresses: [10.0.0.0/8], resolution: DNS, " + port),
              HasSubstr("a subnet is allowed for the resolutions NONE and STATIC only"));
  EXPECT_THAT(entry("hosts: [a.b], ports: [{number: 80, name: a}, {number: 80, name: a}]"),
              testing::AllOf(HasSubstr("ports[1].number: port 80 is there already"),
                             HasSubstr("ports[1].name: the port name \"a\" is there already")));
  EXPECT_THAT(entry("hosts: [a.b], ports: [{number: 0, name: A, protocol: X}]"),
              testing::AllOf(HasSubstr("ports[0].number"), HasSubstr("ports[0].name"),
                             HasSubstr("ports[0].protocol")));
  EXPECT_THAT(
      entry("hosts: [a.b, c.d], resolution: DNS, ports: [{number: 1, name: t, protocol: TCP}]"),
      HasSubstr("several hosts cannot be told apart"));
  EXPECT_THAT(entry("hosts: [a.b], ports: [{number: 1, name: t, protocol: TCP}]"),
              HasSubstr("W[IST0134]"));
  EXPECT_THAT(entry("hosts: [a.b], endpoints: [{address: 10.0.0.1}], " + port),
              HasSubstr("endpoints: have no effect with the resolution NONE"));
  EXPECT_THAT(entry("hosts: [a.b], resolution: STATIC, endpoints: [{address: c.d}], " + port),
              HasSubstr("endpoints[0].address: \"c.d\" is no IP address"));
  EXPECT_THAT(
      entry("hosts: [a.b], resolution: DNS, endpoints: [{address: c.d, ports: {x: 1}}], " + port),
      HasSubstr("endpoints[0].ports[x]: no port of the service is named \"x\""));
  EXPECT_THAT(entry("hosts: [a.b], resolution: STATIC, endpoints: [{address: 10.0.0.1}], "
                    "workloadSelector: {labels: {a: b}}, " +
                    port),
              HasSubstr("only one of workloadSelector and endpoints"));
  EXPECT_THAT(entry("hosts: [a.b], resolution: STATIC, " + port),
              HasSubstr("no request can be served"));
  EXPECT_EQ(entry("hosts: [a.b], exportTo: [\"~\"], " + port), "");
}

TEST(ValidateWorkloadEntry, Rules) {
  EXPECT_EQ(Of("WorkloadEntry", "{address: 10.0.0.1, labels: {app: a}, ports: {http: 80}}"), "");
  EXPECT_EQ(Of("WorkloadEntry", "{address: host.example.com}"), "");
  EXPECT_EQ(Of("WorkloadEntry", "{}"), "[IST0106] spec: \"address\" is required");
  EXPECT_THAT(Of("WorkloadEntry", "{address: 10.0.0.256}"), HasSubstr("its last part is a number"));
  EXPECT_THAT(Of("WorkloadEntry", "{address: \"unix:///a\", ports: {a: 1}}"),
              HasSubstr("a unix socket has no ports"));
  EXPECT_THAT(Of("WorkloadEntry", "{address: 10.0.0.1, ports: {a: 0}}"),
              HasSubstr("ports[a]: a port"));
}

TEST(ValidateSidecar, Rules) {
  const auto egress = [](absl::string_view listeners) {
    return Of("Sidecar", absl::StrCat("{egress: [", listeners, "]}"));
  };
  EXPECT_EQ(egress("{port: {number: 9080, protocol: HTTP, name: a}, hosts: [\"prod/*\"]}, "
                   "{hosts: [\"./*\", \"istio-system/*\"]}"),
            "");
  EXPECT_THAT(Of("Sidecar", "{}"), HasSubstr("one of ingress, egress"));
  EXPECT_THAT(egress("{hosts: []}"), HasSubstr("egress[0].hosts: at least one host is required"));
  EXPECT_THAT(egress("{hosts: [a.b]}"), HasSubstr("expected NAMESPACE/HOST"));
  EXPECT_THAT(egress("{hosts: [\"./short\"]}"), HasSubstr("short names are not allowed"));
  EXPECT_THAT(egress("{hosts: [\"./*\"]}, {hosts: [\"a/*\"]}"),
              HasSubstr("egress[0]: only the last egress listener may lack a port"));
  EXPECT_THAT(egress("{hosts: [\"*/*\", \"a/*\"]}"), HasSubstr("\"*/*\" takes in everything"));
  EXPECT_THAT(egress("{hosts: [\"./a.b\", \"default/a.b\"]}"),
              HasSubstr("is covered by an earlier"));
  EXPECT_THAT(egress("{port: {number: 0, protocol: HTTP}, hosts: [\"./*\"]}"),
              HasSubstr("port 0 needs a socket"));
  EXPECT_THAT(
      egress("{port: {number: 80}, hosts: [\"./*\"]}, {port: {number: 80}, hosts: [\"./*\"]}"),
      HasSubstr("another egress listener has this port"));
  const auto ingress = [](absl::string_view listeners) {
    return Of("Sidecar", absl::StrCat("{ingress: [", listeners, "]}"));
  };
  EXPECT_EQ(ingress("{port: {number: 80, protocol: HTTP}, defaultEndpoint: \"127.0.0.1:8080\"}"),
            "");
  EXPECT_THAT(ingress("{}"), HasSubstr("ingress[0]: \"port\" is required"));
  EXPECT_THAT(ingress("{port: {number: 80}, defaultEndpoint: \"10.0.0.1:80\"}"),
              HasSubstr("expected 127.0.0.1:PORT"));
  EXPECT_THAT(ingress("{port: {number: 80}}, {port: {number: 80}}"),
              HasSubstr("ingress[1].port.number: port 80 is there already"));
  EXPECT_THAT(ingress("{port: {number: 80}, bind: x}"), HasSubstr("bind: \"x\" is no IP address"));
  EXPECT_THAT(
      Of("Sidecar", "{outboundTrafficPolicy: {mode: REGISTRY_ONLY, egressProxy: {host: a.b}}}"),
      testing::AllOf(HasSubstr("with the mode ALLOW_ANY only"), HasSubstr("\"port\" is required")));
}

// ---- Kubernetes' kinds
// ------------------------------------------------------------------------------

std::string Service(absl::string_view spec) {
  return Findings(absl::StrCat("apiVersion: v1\nkind: Service\nmetadata: {name: x}\nspec: ", spec));
}

TEST(ValidateService, Ports) {
  EXPECT_EQ(Service("{ports: [{port: 80}]}"), "");
  EXPECT_EQ(Service("{clusterIP: None}"), "");
  EXPECT_EQ(Service("{type: ExternalName, externalName: a.b}"), "");
  EXPECT_EQ(Service("{}"), "[IST0106] spec.ports: Required value");
  // The tutorial's own: it must be refused.
  EXPECT_EQ(Service("{type: LoadBalancer, ports: [{name: http, targetPort: 80, protocol: TCP}]}"),
            "[IST0106] spec.ports[0].port: Required value");
  EXPECT_EQ(Service("{ports: [{port: 80}, {port: 81, name: b}]}"),
            "[IST0106] spec.ports[0].name: Required value");
  EXPECT_THAT(Service("{ports: [{port: 80, name: a}, {port: 80, name: a}]}"),
              testing::AllOf(HasSubstr("spec.ports[1].name: Duplicate value: \"a\""),
                             HasSubstr("spec.ports[1].port: Duplicate value: 80/TCP")));
  EXPECT_EQ(Service("{ports: [{port: 53, name: a}, {port: 53, name: b, protocol: UDP}]}"), "");
  EXPECT_THAT(Service("{ports: [{port: 80, protocol: HTTP}]}"),
              HasSubstr("expected TCP, UDP or SCTP"));
  EXPECT_THAT(Service("{ports: [{port: 80, targetPort: Http}]}"),
              HasSubstr("is no name of a container's port"));
  EXPECT_THAT(Service("{type: Cluster, ports: [{port: 80}]}"), HasSubstr("spec.type: \"Cluster\""));
}

TEST(ValidateEndpoints, Addresses) {
  EXPECT_THAT(Findings("apiVersion: v1\nkind: Endpoints\nmetadata: {name: x}\n"
                       "subsets: [{addresses: [{ip: a}], ports: [{port: 0}]}]"),
              testing::AllOf(HasSubstr("subsets[0].addresses[0].ip: \"a\" is no IP address"),
                             HasSubstr("subsets[0].ports[0].port")));
  EXPECT_THAT(Findings("apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: x}\n"
                       "addressType: IPv5\nendpoints: [{addresses: []}, {addresses: [b]}]"),
              testing::AllOf(HasSubstr("addressType: expected IPv4"),
                             HasSubstr("endpoints[0].addresses: Required value"),
                             HasSubstr("endpoints[1].addresses[0]: \"b\" is no IP address")));
}

TEST(Validate, KnowsTheLine) {
  const Manifests manifests = DecodeManifests(R"(apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: x
  labels:
    "bad key": v
spec:
  hosts: [a]
  http:
  - route:
    - destination:
        host: a
    timeout: 0s
)",
                                              "vs.yaml");
  ASSERT_EQ(manifests.objects.size(), 1u);
  const std::vector<Diagnostic> found = Validate(*manifests.objects[0]);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].line, 6);
  EXPECT_EQ(
      found[1].ToString(),
      "Error [IST0106] (VirtualService default/x vs.yaml:13) spec.http[0].timeout: a duration "
      "must be at least 1ms");
}

}  // namespace
}  // namespace meltemi::pilot
