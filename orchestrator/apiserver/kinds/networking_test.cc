// Ingresses, IngressClasses, NetworkPolicies and EndpointSlices.
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/kind_test.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

class Networking : public KindTest {};

TEST_F(Networking, Ingresses) {
  Use("networking.k8s.io", "v1", "ingresses");
  EXPECT_THAT(CreateErrors(R"(
metadata: {name: web, namespace: d}
spec:
  ingressClassName: nginx
  tls: [{hosts: [a.example.com], secretName: cert}]
  rules:
  - host: '*.example.com'
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}
)"),
              IsEmpty());
  const auto rule = [](absl::string_view host, absl::string_view path) {
    return absl::StrCat("metadata: {name: web, namespace: d}\nspec: {rules: [{host: '", host,
                        "', http: {paths: [", path, "]}}]}\n");
  };
  const std::string backend = "backend: {service: {name: web, port: {number: 80}}}";
  const std::pair<std::string, const char*> cases[] = {
      {"metadata: {name: web, namespace: d}\nspec: {}\n",
       "spec: Invalid value: []networking.IngressRule(nil): either `defaultBackend` or `rules` "
       "must be specified"},
      {rule("1.2.3.4", "{path: /, pathType: Prefix, " + backend + "}"),
       R"(spec.rules[0].host: Invalid value: "1.2.3.4": must be a DNS name, not an IP address)"},
      {rule("", "{path: /, " + backend + "}"),
       "spec.rules[0].http.paths[0].pathType: Required value: pathType must be specified"},
      {rule("", "{path: a, pathType: Exact, " + backend + "}"),
       R"(spec.rules[0].http.paths[0].path: Invalid value: "a": must be an absolute path)"},
      {rule("", "{path: /a//b, pathType: Exact, " + backend + "}"),
       R"(spec.rules[0].http.paths[0].path: Invalid value: "/a//b": must not contain '//')"},
      {rule("", "{path: /, pathType: Glob, " + backend + "}"),
       R"(spec.rules[0].http.paths[0].pathType: Unsupported value: "Glob": supported values: )"
       R"("Exact", "ImplementationSpecific", "Prefix")"},
      {rule("", "{path: /, pathType: Exact, backend: {}}"),
       R"(spec.rules[0].http.paths[0].backend: Invalid value: "": resource or service backend is )"
       "required"},
      {rule("", "{path: /, pathType: Exact, backend: {service: {name: web}}}"),
       "spec.rules[0].http.paths[0].backend: Required value: port name or number is required"},
      {rule("", ""), "spec.rules[0].http.paths: Required value"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_THAT(CreateErrors(text), Contains(expected)) << text;
  }
  EXPECT_THAT(
      Row(R"(
metadata: {name: web, namespace: d}
spec:
  ingressClassName: nginx
  tls: [{}]
  rules: [{host: a}, {host: b}, {host: c}, {host: d}]
status: {loadBalancer: {ingress: [{hostname: lb}, {ip: 1.2.3.4}]}}
)"),
      ElementsAre("web", "nginx", "a,b,c + 1 more...", "1.2.3.4,lb", "80, 443", "<unknown>"));
}

TEST_F(Networking, IngressClasses) {
  Use("networking.k8s.io", "v1", "ingressclasses");
  const char* good = R"(
metadata: {name: nginx}
spec: {controller: acme.io/nginx, parameters: {apiGroup: acme.io, kind: P, name: p}}
)";
  EXPECT_THAT(CreateErrors(good), IsEmpty());
  EXPECT_EQ(Text(Get(Created(good), "spec", "parameters"), "scope"), "Cluster");
  EXPECT_THAT(CreateErrors("metadata: {name: x}\nspec: {}\n"),
              ElementsAre("spec.controller: Required value"));
  EXPECT_THAT(CreateErrors("metadata: {name: x}\nspec: {controller: a.io/b, parameters: {kind: P, "
                           "name: p, scope: Namespace}}\n"),
              ElementsAre("spec.parameters.namespace: Required value: `parameters.scope` is set to "
                          "'Namespace'"));
  EXPECT_THAT(UpdateErrors(good, "metadata: {name: nginx}\nspec: {controller: acme.io/other}\n"),
              ElementsAre(R"(spec.controller: Invalid value: "acme.io/other": field is )"
                          "immutable"));
  EXPECT_THAT(Row(good), ElementsAre("nginx", "acme.io/nginx", "P.acme.io/p", "<unknown>"));
}

TEST_F(Networking, NetworkPolicies) {
  Use("networking.k8s.io", "v1", "networkpolicies");
  const auto policy = [](absl::string_view spec) {
    return absl::StrCat("metadata: {name: p, namespace: d}\nspec: {podSelector: {}, ", spec, "}\n");
  };
  EXPECT_EQ(Json(Get(Created(policy("egress: [{ports: [{port: 80}]}]")), "spec", "policyTypes")),
            R"(["Ingress","Egress"])");
  EXPECT_EQ(Text(Items(Items(Get(Created(policy("egress: [{ports: [{port: 80}]}]")), "spec"),
                             "egress")[0],
                       "ports")[0],
                 "protocol"),
            "TCP");
  const std::pair<const char*, const char*> cases[] = {
      {"ingress: [{from: [{}]}]", "spec.ingress[0].from[0]: Required value: must specify a peer"},
      {"ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]",
       "spec.ingress[0].from[0]: Forbidden: may not specify both ipBlock and another peer"},
      {"ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/16]}}]}]",
       R"(spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a )"
       "strict subset of `cidr`"},
      {"ingress: [{ports: [{port: 90, endPort: 80}]}]",
       "spec.ingress[0].ports[0].endPort: Invalid value: 90: must be greater than or equal to "
       "`port`"},
      {"ingress: [{ports: [{port: web, endPort: 80}]}]",
       "spec.ingress[0].ports[0].endPort: Invalid value: 80: may not be specified when `port` is "
       "non-numeric"},
      {"ingress: [{ports: [{protocol: ICMP}]}]",
       R"(spec.ingress[0].ports[0].protocol: Unsupported value: "ICMP": supported values: "TCP", )"
       R"("UDP", "SCTP")"},
      {"policyTypes: [In]",
       R"(spec.policyTypes[0]: Unsupported value: "In": supported values: "Ingress", "Egress")"},
  };
  for (const auto& [spec, expected] : cases) {
    EXPECT_THAT(CreateErrors(policy(spec)), Contains(expected)) << spec;
  }
  EXPECT_THAT(CreateErrors(policy("ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: "
                                  "[10.1.0.0/16]}}]}]")),
              IsEmpty());
  EXPECT_THAT(Row(policy("ingress: []")), ElementsAre("p", "<none>", "<unknown>"));
}

TEST_F(Networking, EndpointSlices) {
  Use("discovery.k8s.io", "v1", "endpointslices");
  const auto slice = [](absl::string_view rest) {
    return absl::StrCat("metadata: {name: s, namespace: d}\naddressType: IPv4\n", rest);
  };
  EXPECT_EQ(Json(Get(Created(slice("ports: [{port: 80}]\nendpoints: []\n")), "ports")),
            R"([{"port":80,"name":"","protocol":"TCP"}])");
  const std::pair<std::string, const char*> cases[] = {
      {"metadata: {name: s, namespace: d}\nendpoints: []\n", "addressType: Required value"},
      {"metadata: {name: s, namespace: d}\naddressType: DNS\n",
       R"(addressType: Unsupported value: "DNS": supported values: "FQDN", "IPv4", "IPv6")"},
      {slice("endpoints: [{addresses: []}]\n"),
       "endpoints[0].addresses: Required value: must contain at least 1 address"},
      {slice("endpoints: [{addresses: ['2001:db8::1']}]\n"),
       R"(endpoints[0].addresses[0]: Invalid value: "2001:db8::1": must be a valid IPv4 address)"},
      {slice("endpoints: [{addresses: [127.0.0.1]}]\n"),
       R"(endpoints[0].addresses[0]: Invalid value: "127.0.0.1": may not be in the loopback range )"
       "(127.0.0.0/8, ::1/128)"},
      {slice("ports: [{name: a}, {name: a}]\n"), R"(ports[1].name: Duplicate value: "a")"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_THAT(CreateErrors(text), Contains(expected)) << text;
  }
  EXPECT_THAT(UpdateErrors(slice(""), "metadata: {name: s, namespace: d}\naddressType: IPv6\n"),
              ElementsAre(R"(addressType: Invalid value: "IPv6": field is immutable)"));
  EXPECT_THAT(
      Row(slice("ports: [{port: 80}, {name: x}]\nendpoints: [{addresses: [10.0.0.1, "
                "10.0.0.2]}, {addresses: [10.0.0.3, 10.0.0.4]}]\n")),
      ElementsAre("s", "IPv4", "80,x", "10.0.0.1,10.0.0.2,10.0.0.3 + 1 more...", "<unknown>"));
}

}  // namespace
}  // namespace meltemi::apiserver
