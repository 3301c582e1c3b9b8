// Services: defaults, validation, changes of type, what tables show.
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/kinds/kind_test.h"

namespace meltemi::apiserver {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Services : public KindTest {
 protected:
  Services() { Use("", "v1", "services"); }
  static std::string With(absl::string_view spec) {
    return absl::StrCat("metadata: {name: web, namespace: blue}\nspec: {", spec, "}");
  }
};

TEST_F(Services, GetKubernetesDefaults) {
  EXPECT_EQ(Json(*Created(With("ports: [{port: 80}]")).Find("spec")),
            R"({"ports":[{"port":80,"protocol":"TCP","targetPort":80}],"sessionAffinity":"None",)"
            R"("type":"ClusterIP","internalTrafficPolicy":"Cluster"})");
  EXPECT_EQ(Json(*Created(With("type: LoadBalancer, sessionAffinity: ClientIP, ports: [{port: 80, "
                               "targetPort: http}]"))
                      .Find("spec")),
            R"({"type":"LoadBalancer","sessionAffinity":"ClientIP","ports":[{"port":80,)"
            R"("targetPort":"http","protocol":"TCP"}],"sessionAffinityConfig":{"clientIP":)"
            R"({"timeoutSeconds":10800}},"externalTrafficPolicy":"Cluster",)"
            R"("internalTrafficPolicy":"Cluster","allocateLoadBalancerNodePorts":true})");
  EXPECT_EQ(Json(*Created(With("clusterIP: None")).Find("spec", "clusterIPs")), R"(["None"])");
  EXPECT_EQ(Json(*Created(With("ports: [{port: 80}]")).Find("status")), R"({"loadBalancer":{}})");
}

TEST_F(Services, ValidOnesAreTaken) {
  EXPECT_THAT(CreateErrors(With("ports: [{port: 80}], selector: {app: web}")), IsEmpty());
  EXPECT_THAT(CreateErrors(With("clusterIP: None")), IsEmpty());
  EXPECT_THAT(CreateErrors(With("type: ExternalName, externalName: example.com.")), IsEmpty());
  EXPECT_THAT(CreateErrors(With("type: NodePort, ports: [{name: a, port: 80, nodePort: 30080}, "
                                "{name: b, port: 80, protocol: UDP, nodePort: 30080}]")),
              IsEmpty());
}

struct Wrong {
  const char* spec;
  const char* error;
};

TEST_F(Services, SpecsThatAreRefused) {
  for (const auto& [spec, error] : std::vector<Wrong>{
           {"ports: []", "spec.ports: Required value"},
           {"ports: [{port: 0, targetPort: 80}]",
            "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"},
           {"ports: [{port: 80}, {port: 81, name: b}]", "spec.ports[0].name: Required value"},
           {"ports: [{port: 80, targetPort: Upper}]",
            R"(spec.ports[0].targetPort: Invalid value: "Upper": must contain only alpha-numeric )"
            R"(characters (a-z, 0-9), and hyphens (-))"},
           {"ports: [{port: 80, nodePort: 30080}]",
            "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"},
           {"type: Magic, ports: [{port: 80}]",
            R"(spec.type: Unsupported value: "Magic": supported values: "ClusterIP", )"
            R"("ExternalName", "LoadBalancer", "NodePort")"},
           {"type: ExternalName", "spec.externalName: Required value"},
           {"clusterIP: 1.2.3, ports: [{port: 80}]",
            R"(spec.clusterIPs[0]: Invalid value: "1.2.3": must be a valid IP address, (e.g. )"
            R"(10.9.8.7 or 2001:db8::ffff))"},
           {"type: NodePort, clusterIP: None, ports: [{port: 80}]",
            R"(spec.clusterIPs[0]: Invalid value: "None": may not be set to 'None' for NodePort )"
            R"(services)"},
           {"externalIPs: [127.0.0.1], ports: [{port: 80}]",
            R"(spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range )"
            R"((127.0.0.0/8, ::1/128))"},
           {"externalTrafficPolicy: Local, ports: [{port: 80}]",
            R"(spec.externalTrafficPolicy: Invalid value: "Local": may only be set for )"
            R"(externally-accessible services)"},
           {"sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: "
            "90000}}, ports: [{port: 80}]",
            "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 90000: must be "
            "greater than 0 and less than 86400"},
           {"loadBalancerSourceRanges: [10.0.0.0/8], ports: [{port: 80}]",
            "spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is "
            "'LoadBalancer'"},
       }) {
    std::vector<std::string> errors = CreateErrors(With(spec));
    if (absl::string_view(spec).find("Magic") != absl::string_view::npos && !errors.empty()) {
      errors = {errors[0]};  // the unknown type has no traffic policy either
    }
    EXPECT_THAT(errors, ElementsAre(error)) << spec;
  }
}

TEST_F(Services, NamesAreDns1035Labels) {
  EXPECT_THAT(CreateErrors("metadata: {name: 1web, namespace: a}\nspec: {clusterIP: None}"),
              ElementsAre(testing::StartsWith(
                  "metadata.name: Invalid value: \"1web\": a DNS-1035 label must consist of")));
}

TEST_F(Services, AddressesMayNotChange) {
  EXPECT_THAT(
      UpdateErrors(With("clusterIP: 10.96.0.9, ports: [{port: 80}]"),
                   With("clusterIP: 10.96.0.10, clusterIPs: [10.96.0.9], ports: [{port: 80}]")),
      ElementsAre("spec.clusterIPs[0]: Invalid value: []string{\"10.96.0.10\"}: may not "
                  "change once set"));
  EXPECT_THAT(UpdateErrors(With("clusterIP: 10.96.0.9, ports: [{port: 80}]"),
                           With("clusterIP: None, clusterIPs: [10.96.0.9], ports: [{port: 80}]")),
              ElementsAre("spec.clusterIPs[0]: Invalid value: []string{\"None\"}: may not change "
                          "once set"));
}

TEST_F(Services, WhatAClientLeavesOutStays) {
  const json::Value service =
      Updated(With("type: NodePort, clusterIP: 10.96.0.9, ports: [{name: a, port: 80, nodePort: "
                   "30080}]"),
              With("type: NodePort, ports: [{name: a, port: 81}]"));
  EXPECT_EQ(service.Find("spec")->FindString("clusterIP"), "10.96.0.9");
  EXPECT_EQ(Json(*service.Find("spec", "clusterIPs")), R"(["10.96.0.9"])");
  EXPECT_EQ(service.Find("spec", "ports")->items()[0].Find("nodePort")->AsInt64(), 30080);
}

TEST_F(Services, AChangeOfTypeDropsWhatTheNewOneLacks) {
  const json::Value service = Updated(
      With("type: NodePort, clusterIP: 10.96.0.9, ports: [{port: 80, nodePort: 30080}]"),
      With("type: ClusterIP, clusterIP: 10.96.0.9, externalTrafficPolicy: Cluster, ports: [{port: "
           "80, nodePort: 30080}]"));
  EXPECT_EQ(service.Find("spec", "ports")->items()[0].Find("nodePort"), nullptr);
  EXPECT_EQ(service.Find("spec", "externalTrafficPolicy"), nullptr);
  EXPECT_THAT(UpdateErrors(With("clusterIP: 10.96.0.9, ports: [{port: 80}]"),
                           With("type: ExternalName, externalName: a.b, clusterIP: 10.96.0.9, "
                                "ports: [{port: 80}]")),
              IsEmpty());
}

TEST_F(Services, TablesShowAddressesAndPorts) {
  EXPECT_THAT(Row("{metadata: {name: web}, spec: {type: NodePort, clusterIPs: [10.96.0.9], ports: "
                  "[{port: 80, nodePort: 30080, protocol: TCP}, {port: 53, protocol: UDP}], "
                  "selector: {b: c, a: b}}}"),
              ElementsAre("web", "NodePort", "10.96.0.9", "<none>", "80:30080/TCP,53/UDP",
                          "<unknown>", "a=b,b=c"));
  EXPECT_THAT(
      Row("{metadata: {name: lb}, spec: {type: LoadBalancer}}"),
      ElementsAre("lb", "LoadBalancer", "<none>", "<pending>", "<none>", "<unknown>", "<none>"));
  EXPECT_THAT(Row("{metadata: {name: lb}, spec: {type: LoadBalancer, externalIPs: [9.9.9.9]}, "
                  "status: {loadBalancer: {ingress: [{ip: 1.1.1.1}]}}}")[3],
              "1.1.1.1,9.9.9.9");
  EXPECT_EQ(Row("{spec: {type: ExternalName, externalName: a.b}}")[3], "a.b");
}

}  // namespace
}  // namespace meltemi::apiserver
