#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "pilot/ingest/decode/manifests.h"
#include "pilot/validate/validate.h"

namespace meltemi::pilot {
namespace {

using ::testing::HasSubstr;

// One line per finding: "[IST0106] spec.rules[0]: what"; warnings begin with "W".
std::string Findings(absl::string_view metadata, absl::string_view spec) {
  const Manifests manifests =
      DecodeManifests(absl::StrCat("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n",
                                   "metadata: {name: x, ", metadata, "}\nspec: ", spec, "\n"),
                      "f.yaml");
  std::vector<std::string> lines;
  for (const Diagnostic& d : manifests.diagnostics) lines.push_back("DECODE " + d.ToString());
  for (const ObjectPtr& object : manifests.objects) {
    for (const Diagnostic& d : Validate(*object)) {
      lines.push_back(absl::StrCat(d.severity == Severity::kError ? "" : "W", "[", d.code, "] ",
                                   d.path, ": ", d.message));
    }
  }
  return absl::StrJoin(lines, "\n");
}

std::string Of(absl::string_view spec) { return Findings("namespace: a", spec); }
std::string Rule(absl::string_view rule) { return Of(absl::StrCat("{rules: [{", rule, "}]}")); }

TEST(ValidateAuthorizationPolicy, AGoodOneHasNothingToSay) {
  EXPECT_EQ(Of(R"({selector: {matchLabels: {app: httpbin}}, action: ALLOW, rules: [{
    from: [{source: {principals: ["cluster.local/ns/a/sa/b", "*"], notPrincipals: ["*/sa/c"],
                     namespaces: [a, "b-*"], notNamespaces: [c], ipBlocks: [10.0.0.0/8, 1.2.3.4],
                     notIpBlocks: ["::1"], remoteIpBlocks: [10.0.0.0/8],
                     notRemoteIpBlocks: [10.1.0.0/16]}}],
    to: [{operation: {hosts: ["*.example.com"], notHosts: ["a:*"], ports: ["80"], notPorts: ["1"],
                      methods: [GET, "*"], notMethods: [PUT], paths: ["/a*", "*/b", "*", /c],
                      notPaths: [/d]}}],
    when: [{key: "request.headers[x-a]", values: [b]}, {key: source.ip, notValues: [10.0.0.1]},
           {key: remote.ip, values: [10.0.0.0/8]}, {key: source.namespace, values: [a]},
           {key: source.principal, values: ["*"]}, {key: destination.ip, values: [1.1.1.1]},
           {key: destination.port, values: ["80"]}, {key: connection.sni, values: [a.b]}]}]})"),
            "");
  EXPECT_EQ(Of("{}"), "") << "allows nothing";
  EXPECT_EQ(Of("{rules: [{}]}"), "") << "allows everything";
  EXPECT_EQ(Of("{action: DENY, rules: [{}]}"), "");
  EXPECT_EQ(Of("{action: AUDIT, rules: [{to: [{operation: {ports: [\"80\"]}}]}]}"), "");
}

TEST(ValidateAuthorizationPolicy, EmptyPartsAreRefused) {
  EXPECT_EQ(Of("{action: DENY}"),
            "[IST0106] spec.rules: DENY without rules never denies; an empty rule, {}, denies "
            "everything");
  EXPECT_THAT(Rule("from: [{source: {}}]"), HasSubstr("spec.rules[0].from[0].source: an empty"));
  EXPECT_THAT(Rule("to: [{operation: {}}]"), HasSubstr("spec.rules[0].to[0].operation: an empty"));
  EXPECT_THAT(Rule("to: [{operation: {hosts: [\"\"]}}]"),
              HasSubstr("spec.rules[0].to[0].operation.hosts[0]: an empty value"));
  EXPECT_THAT(Rule("when: [{values: [a]}]"), HasSubstr("spec.rules[0].when[0].key: is required"));
  EXPECT_THAT(Rule("when: [{key: source.ip}]"), HasSubstr("\"values\" or \"notValues\""));
}

TEST(ValidateAuthorizationPolicy, ValuesHaveTheirForms) {
  EXPECT_THAT(Rule("from: [{source: {ipBlocks: [10.0.0.0/33]}}]"),
              HasSubstr("[IST0106] spec.rules[0].from[0].source.ipBlocks[0]"));
  EXPECT_THAT(Rule("to: [{operation: {ports: [\"70000\"]}}]"), HasSubstr("operation.ports[0]"));
  EXPECT_THAT(Rule("to: [{operation: {ports: [http]}}]"), HasSubstr("a port from 0 to 65535"));
  EXPECT_THAT(Rule("when: [{key: destination.port, values: [x]}]"), HasSubstr("values[0]"));
  EXPECT_THAT(Rule("when: [{key: \"request.headers\", values: [x]}]"),
              HasSubstr("expected request.headers[NAME]"));
  EXPECT_THAT(Rule("when: [{key: \"request.headers[]\", values: [x]}]"),
              HasSubstr("expected request.headers[NAME]"));
  EXPECT_EQ(Rule("when: [{key: source.color, values: [x]}]"),
            "[IST0106] spec.rules[0].when[0].key: unknown attribute \"source.color\"");
  EXPECT_THAT(Rule("to: [{operation: {paths: [\"/a{b}\"]}}]"), HasSubstr("can't be in a path"));
  EXPECT_THAT(Rule("to: [{operation: {paths: [\"/a/*/b\"]}}]"), HasSubstr("W[IST0133]"));
}

TEST(ValidateAuthorizationPolicy, PathTemplates) {
  const auto path = [](absl::string_view path) {
    return Rule(absl::StrCat("to: [{operation: {paths: [\"", path, "\"]}}]"));
  };
  EXPECT_EQ(path("/a/{*}/b.c/{**}"), "");
  EXPECT_EQ(path("/{**}/b"), "");
  EXPECT_THAT(path("/{**}/{*}"), HasSubstr("\"{**}\" is not the last operator"));
  EXPECT_THAT(path("/a{*}"), HasSubstr("\"a{*}\" is neither"));
  EXPECT_THAT(path("/{*}/b*"), HasSubstr("\"b*\" is neither"));
  EXPECT_THAT(path("{*}"), HasSubstr("\"/\" must come first"));
}

TEST(ValidateAuthorizationPolicy, WhatWeDoNotHaveIsRefusedByName) {
  for (const char* spec :
       {"{action: CUSTOM, provider: {name: p}, rules: [{}]}", "{targetRef: {kind: A, name: b}}",
        "{targetRefs: [{kind: A, name: b}]}",
        "{rules: [{from: [{source: {requestPrincipals: [a]}}]}]}",
        "{rules: [{from: [{source: {notRequestPrincipals: [a]}}]}]}",
        "{rules: [{when: [{key: \"request.auth.claims[a]\", values: [b]}]}]}",
        "{rules: [{when: [{key: \"experimental.envoy.filters.a[b]\", values: [b]}]}]}"}) {
    EXPECT_THAT(Of(spec), HasSubstr("[MELT0010]")) << spec;
    EXPECT_THAT(Of(spec), HasSubstr("is not supported yet")) << spec;
  }
  EXPECT_THAT(Of("{provider: {name: p}, rules: [{}]}"), HasSubstr("CUSTOM alone"));
}

TEST(ValidateAuthorizationPolicy, ADenyRuleThatOnlyHttpKnowsDeniesAllOfTcp) {
  EXPECT_THAT(Of("{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}"),
              HasSubstr("W[IST0133] spec.rules[0]: denies all traffic of ports that are not HTTP"));
  EXPECT_EQ(Of("{action: DENY, rules: [{to: [{operation: {methods: [GET], ports: [\"80\"]}}]}]}"),
            "");
  EXPECT_EQ(Of("{action: DENY, rules: [{from: [{source: {namespaces: [a]}}]}]}"), "");
}

TEST(ValidateAuthorizationPolicy, DryRunIsTrueOrFalse) {
  EXPECT_EQ(Findings("annotations: {\"istio.io/dry-run\": \"true\"}", "{rules: [{}]}"), "");
  EXPECT_THAT(Findings("annotations: {\"istio.io/dry-run\": \"maybe\"}", "{rules: [{}]}"),
              HasSubstr("neither true nor false"));
}

}  // namespace
}  // namespace meltemi::pilot
