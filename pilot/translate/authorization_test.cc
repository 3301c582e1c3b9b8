#include "pilot/translate/authorization.h"

#include <gmock/gmock.h>
#include <google/protobuf/any.pb.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "envoy/config/listener/v3/listener_components.pb.h"
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb.h"
#include "pilot/ingest/decode/manifests.h"
#include "security/v1/authorization_policy.pb.h"

namespace meltemi::pilot {
namespace {

using envoy::config::listener::v3::FilterChain;
using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
using HttpRbac = envoy::extensions::filters::http::rbac::v3::RBAC;
using NetworkRbac = envoy::extensions::filters::network::rbac::v3::RBAC;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

// Policies of the namespace "foo", by name and the rest of the manifest in flow style.
std::vector<AuthorizationPolicyPtr> Policies(
    const std::vector<std::pair<std::string, std::string>>& specs, absl::string_view more = "") {
  std::vector<AuthorizationPolicyPtr> out;
  for (const auto& [name, spec] : specs) {
    const Manifests manifests = DecodeManifests(
        absl::StrCat("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {",
                     "name: ", name, ", namespace: foo", more, "}\nspec: ", spec, "\n"),
        "f.yaml");
    EXPECT_TRUE(manifests.diagnostics.empty()) << manifests.diagnostics[0].ToString();
    for (const ObjectPtr& object : manifests.objects) {
      out.push_back(
          DecodeAuthorizationPolicy(object->meta, object->Spec<security::AuthorizationPolicy>()));
    }
  }
  return out;
}

// The filters in text, one for each action.
std::vector<HttpRbac> Http(const std::vector<AuthorizationPolicyPtr>& policies,
                           absl::string_view trust_domain = "cluster.local") {
  HttpConnectionManager manager;
  manager.add_http_filters()->set_name("later");
  AuthorizationFilters(policies, trust_domain).AddTo(&manager);
  EXPECT_EQ(manager.http_filters(manager.http_filters_size() - 1).name(), "later");
  std::vector<HttpRbac> out(manager.http_filters_size() - 1);
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(manager.http_filters(i).name(), "envoy.filters.http.rbac");
    EXPECT_TRUE(manager.http_filters(i).typed_config().UnpackTo(&out[i]));
  }
  return out;
}

std::vector<NetworkRbac> Tcp(const std::vector<AuthorizationPolicyPtr>& policies) {
  FilterChain chain;
  AuthorizationFilters(policies, "cluster.local").AddTo(&chain);
  std::vector<NetworkRbac> out(chain.filters_size());
  for (size_t i = 0; i < out.size(); ++i) {
    EXPECT_EQ(chain.filters(i).name(), "envoy.filters.network.rbac");
    EXPECT_TRUE(chain.filters(i).typed_config().UnpackTo(&out[i]));
    EXPECT_EQ(out[i].stat_prefix(), "tcp.");
  }
  return out;
}

std::string Text(const google::protobuf::Message& message) {
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string text;
  printer.PrintToString(message, &text);
  while (!text.empty() && text.back() == ' ') text.pop_back();
  return text;
}

// The one policy of a rule, as a filter for requests and for bytes has it; "" for none.
std::string HttpRule(absl::string_view rule, absl::string_view trust_domain = "cluster.local") {
  const auto filters =
      Http(Policies({{"p", absl::StrCat("{rules: [{", rule, "}]}")}}), trust_domain);
  const auto& policies = filters.at(0).rules().policies();
  return policies.empty() ? "" : Text(policies.at("ns[foo]-policy[p]-rule[0]"));
}

std::string TcpRule(absl::string_view action, absl::string_view rule) {
  const auto filters =
      Tcp(Policies({{"p", absl::StrCat("{action: ", action, ", rules: [{", rule, "}]}")}}));
  const auto& policies = filters.at(0).rules().policies();
  return policies.empty() ? "" : Text(policies.at("ns[foo]-policy[p]-rule[0]"));
}

constexpr char kAnyone[] = " principals { and_ids { ids { any: true } } }";
constexpr char kAnything[] = "permissions { and_rules { rules { any: true } } }";

TEST(AuthorizationTest, NoPoliciesNoFilters) {
  EXPECT_TRUE(Http({}).empty());
  EXPECT_TRUE(Tcp({}).empty());
}

TEST(AuthorizationTest, AuditThenDenyThenAllow) {
  const auto filters = Http(Policies({{"a", "{rules: [{}]}"},
                                      {"d", "{action: DENY, rules: [{}]}"},
                                      {"l", "{action: AUDIT, rules: [{}]}"},
                                      {"b", "{rules: [{}, {}]}"}}));
  ASSERT_EQ(filters.size(), 3u);
  EXPECT_EQ(filters[0].rules().action(), envoy::config::rbac::v3::RBAC::LOG);
  EXPECT_EQ(filters[1].rules().action(), envoy::config::rbac::v3::RBAC::DENY);
  EXPECT_EQ(filters[2].rules().action(), envoy::config::rbac::v3::RBAC::ALLOW);
  std::vector<std::string> names;
  for (const auto& [name, policy] : filters[2].rules().policies()) names.push_back(name);
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("ns[foo]-policy[a]-rule[0]",
                                                     "ns[foo]-policy[b]-rule[0]",
                                                     "ns[foo]-policy[b]-rule[1]"));
}

TEST(AuthorizationTest, WithoutRulesNothingIsAllowedAndAnEmptyRuleIsEverything) {
  const auto none = Http(Policies({{"p", "{}"}}));
  EXPECT_EQ(Text(none.at(0).rules().policies().at("ns[foo]-policy[p]-rule[0]")),
            "permissions { not_rule { any: true } } principals { not_id { any: true } }");
  EXPECT_EQ(HttpRule(""), absl::StrCat(kAnything, kAnyone));
}

TEST(AuthorizationTest, EachOperationHasItsCondition) {
  const auto to = [](absl::string_view operation) {
    return HttpRule(absl::StrCat("to: [{operation: {", operation, "}}]"));
  };
  const auto rules = [](absl::string_view rules) {
    return absl::StrCat("permissions { and_rules { ", rules, " } }", kAnyone);
  };
  EXPECT_EQ(to("hosts: [A.com]"),
            rules("rules { or_rules { rules { header { name: \":authority\" string_match { "
                  "exact: \"A.com\" ignore_case: true } } } } }"));
  EXPECT_EQ(to("methods: [GET], notMethods: [\"*\"]"),
            rules("rules { or_rules { rules { header { name: \":method\" string_match { exact: "
                  "\"GET\" } } } } } rules { not_rule { or_rules { rules { header { name: "
                  "\":method\" present_match: true } } } } }"));
  EXPECT_EQ(to("paths: [/a, \"/b*\", \"*/c\", \"*\"]"),
            rules("rules { or_rules { rules { url_path { path { exact: \"/a\" } } } rules { "
                  "url_path { path { prefix: \"/b\" } } } rules { url_path { path { suffix: "
                  "\"/c\" } } } rules { url_path { path { safe_regex { regex: \".+\" } } } } } }"));
  EXPECT_EQ(to("ports: [\"80\"]"), rules("rules { or_rules { rules { destination_port: 80 } } }"));
}

TEST(AuthorizationTest, PathsMayBeTemplates) {
  EXPECT_THAT(HttpRule("to: [{operation: {paths: [\"/a/{*}/b/{**}\"]}}]"),
              HasSubstr("uri_template { name: \"uri-template\""));
  EXPECT_THAT(HttpRule("to: [{operation: {paths: [\"/a/{*}/b/{**}\"]}}]"), HasSubstr("/a/*/b/**"));
}

TEST(AuthorizationTest, EachSourceHasItsCondition) {
  const auto from = [](absl::string_view source) {
    return HttpRule(absl::StrCat("from: [{source: {", source, "}}]"));
  };
  const auto named = [](absl::string_view name) {
    return absl::StrCat(kAnything,
                        " principals { and_ids { ids { or_ids { ids { authenticated { "
                        "principal_name { ",
                        name, " } } } } } } }");
  };
  EXPECT_EQ(from("principals: [cluster.local/ns/a/sa/b]"),
            named("exact: \"spiffe://cluster.local/ns/a/sa/b\""));
  EXPECT_EQ(from("principals: [\"*/sa/b.c\"]"),
            named("safe_regex { regex: \"spiffe://.*\\\\/sa\\\\/b\\\\.c\" }"));
  EXPECT_EQ(from("principals: [\"td/*\"]"), named("prefix: \"spiffe://td/\""));
  EXPECT_EQ(from("principals: [\"*\"]"), named("safe_regex { regex: \".+\" }"));
  EXPECT_EQ(from("namespaces: [\"a-*\"]"), named("safe_regex { regex: \".*/ns/a\\\\-.*/.*\" }"));
  EXPECT_THAT(from("ipBlocks: [10.0.0.0/8]"),
              HasSubstr("direct_remote_ip { address_prefix: \"10.0.0.0\" prefix_len { value: 8 }"));
  EXPECT_THAT(from("notRemoteIpBlocks: [\"::1\"]"),
              HasSubstr("not_id { or_ids { ids { remote_ip { address_prefix: \"::1\" prefix_len { "
                        "value: 128 } } } } }"));
  EXPECT_THAT(from("requestPrincipals: [\"*\"]"), HasSubstr("or_ids { ids { not_id { any: true }"))
      << "nobody shows a token that anybody reads";
}

TEST(AuthorizationTest, ThePrincipalsTrustDomainIsTheMeshs) {
  EXPECT_THAT(HttpRule("from: [{source: {principals: [cluster.local/ns/a/sa/b]}}]", "corp"),
              HasSubstr("exact: \"spiffe://corp/ns/a/sa/b\""));
  EXPECT_THAT(HttpRule("from: [{source: {principals: [other/ns/a/sa/b]}}]", "corp"),
              HasSubstr("exact: \"spiffe://other/ns/a/sa/b\""));
}

TEST(AuthorizationTest, ConditionsHoldForEveryAlternative) {
  const std::string text = HttpRule(R"(
    from: [{source: {ipBlocks: [1.1.1.1]}}, {source: {ipBlocks: [2.2.2.2]}}],
    to: [{operation: {methods: [GET]}}, {operation: {methods: [PUT]}}],
    when: [{key: destination.port, values: ["80"]}, {key: connection.sni, values: [s]},
           {key: destination.ip, values: [3.3.3.3]}, {key: "request.headers[x-a]", values: [v]},
           {key: source.namespace, notValues: [n]}])");
  const auto count = [&text](const char* part) {
    int found = 0;
    for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1))
      ++found;
    return found;
  };
  for (const char* part :
       {"destination_port: 80", "requested_server_name { exact: \"s\" }", "destination_ip",
        "name: \"x-a\" string_match { exact: \"v\" }", "not_id { or_ids { ids { authenticated"}) {
    EXPECT_EQ(count(part), 2) << part << " in " << text;
  }
}

TEST(AuthorizationTest, WhereBytesAreForwardedAllowNarrowsAndDenyWidens) {
  const char* rule = "to: [{operation: {methods: [GET], ports: [\"80\"]}}]";
  EXPECT_EQ(TcpRule("ALLOW", rule), "") << "never matches";
  EXPECT_EQ(TcpRule("DENY", rule),
            absl::StrCat("permissions { and_rules { rules { or_rules { rules { destination_port: "
                         "80 } } } } }",
                         kAnyone));
  EXPECT_EQ(TcpRule("DENY", "to: [{operation: {paths: [/a]}}]"), absl::StrCat(kAnything, kAnyone));
  EXPECT_EQ(TcpRule("ALLOW", "when: [{key: \"request.headers[a]\", notValues: [b]}]"), "");
  EXPECT_EQ(TcpRule("ALLOW", "to: [{operation: {ports: [\"80\"]}}]"),
            TcpRule("DENY", "to: [{operation: {ports: [\"80\"]}}]"));
  const auto filters = Tcp(Policies({{"p", "{rules: [{to: [{operation: {methods: [GET]}}]}]}"}}));
  EXPECT_TRUE(filters.at(0).has_rules()) << "a policy is there, and allows no connection";
}

TEST(AuthorizationTest, ADryRunIsAskedInTheShadow) {
  auto policies = Policies({{"dry", "{action: DENY, rules: [{}]}"}},
                           ", annotations: {\"istio.io/dry-run\": \"true\"}");
  auto filters = Http(policies);
  ASSERT_EQ(filters.size(), 1u);
  EXPECT_FALSE(filters[0].has_rules());
  EXPECT_EQ(filters[0].shadow_rules().policies().size(), 1u);
  EXPECT_EQ(filters[0].shadow_rules_stat_prefix(), "istio_dry_run_deny_");
  policies.push_back(Policies({{"real", "{action: DENY, rules: [{}]}"}})[0]);
  filters = Http(policies);
  ASSERT_EQ(filters.size(), 1u);
  EXPECT_EQ(filters[0].rules().policies().count("ns[foo]-policy[real]-rule[0]"), 1u);
}

}  // namespace
}  // namespace meltemi::pilot
