#include "proxy/config/compile/rbac.h"

#include "envoy/config/rbac/v3/rbac.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "envoy/extensions/filters/http/rbac/v3/rbac.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "envoy/extensions/filters/network/rbac/v3/rbac.pb.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proxy/config/compile/filters.h"
#include "proxy/filters/rbac/rbac.h"
#include "proxy/observe/tls_info.h"

namespace meltemi::proxy {
namespace {

using google::protobuf::TextFormat;

absl::StatusOr<std::shared_ptr<const RbacRules>> Compile(const std::string& text) {
  envoy::config::rbac::v3::RBAC rbac;
  EXPECT_TRUE(TextFormat::ParseFromString(text, &rbac)) << text;
  return CompileRbacRules(rbac, "rules");
}

std::string PolicyText(const std::string& permission, const std::string& principal) {
  return "policies { key: 'p' value { permissions { " + permission + " } principals { " +
         principal + " } } }";
}

std::string WhyNot(const std::string& permission, const std::string& principal) {
  const auto rules = Compile(PolicyText(permission, principal));
  return rules.ok() ? "" : std::string(rules.status().message());
}

// What the rules decide about a request of alice's for GET a.example/books?x=1 over TLS.
bool Allowed(const std::string& permission, const std::string& principal) {
  const auto rules = Compile(PolicyText(permission, principal));
  EXPECT_TRUE(rules.ok()) << rules.status();
  if (!rules.ok()) return false;
  const http::HeaderMapPtr request = http::HeaderMap::New();
  request->set_method("GET");
  request->set_path("/books?x=1");
  request->set_authority("A.example");
  request->Add("x-token", "abc");
  TlsInfo tls;
  tls.peer_verified = true;
  tls.peer_uri_sans = {"spiffe://cluster.local/ns/shop/sa/alice"};
  const net::Address local = *net::Address::Parse("10.0.0.1:8080");
  const net::Address direct = *net::Address::Parse("10.9.0.2:40000");
  const net::Address remote = *net::Address::Parse("203.0.113.9:0");
  return (*rules)
      ->Judge({.request = *request,
               .local = local,
               .direct_remote = direct,
               .remote = remote,
               .server_name = "a.example",
               .tls = &tls})
      .allowed;
}

bool May(const std::string& permission) { return Allowed(permission, "any: true"); }
bool Is(const std::string& principal) { return Allowed("any: true", principal); }

TEST(CompileRbacTest, EveryPermissionMeansWhatItSays) {
  EXPECT_TRUE(May("any: true"));
  EXPECT_TRUE(May("header { name: ':method' string_match { exact: 'GET' } }"));
  EXPECT_FALSE(May("header { name: ':method' string_match { exact: 'POST' } }"));
  EXPECT_TRUE(May("header { name: 'host' string_match { suffix: '.EXAMPLE' ignore_case: true } }"));
  EXPECT_TRUE(May("header { name: 'X-Token' present_match: true }"));
  EXPECT_TRUE(May("url_path { path { exact: '/books' } }"));
  EXPECT_TRUE(May("destination_ip { address_prefix: '10.0.0.0' prefix_len { value: 8 } }"));
  EXPECT_FALSE(May("destination_ip { address_prefix: '10.0.0.2' prefix_len { value: 32 } }"));
  EXPECT_TRUE(May("destination_port: 8080"));
  EXPECT_FALSE(May("destination_port: 80"));
  EXPECT_TRUE(May("destination_port_range { start: 8080 end: 8081 }"));
  EXPECT_FALSE(May("destination_port_range { start: 8000 end: 8080 }"));
  EXPECT_TRUE(May("requested_server_name { exact: 'a.example' }"));
  EXPECT_FALSE(May("not_rule { any: true }"));
  EXPECT_TRUE(May("not_rule { not_rule { any: true } }"));
  EXPECT_TRUE(May("and_rules { rules { any: true } rules { destination_port: 8080 } }"));
  EXPECT_FALSE(May("and_rules { rules { any: true } rules { destination_port: 80 } }"));
  EXPECT_TRUE(May("or_rules { rules { destination_port: 80 } rules { destination_port: 8080 } }"));
  EXPECT_FALSE(May("not_rule { or_rules { rules { destination_port: 8080 } } }"));
}

TEST(CompileRbacTest, TemplatesOfPaths) {
  const auto with = [](absl::string_view path) {
    return "uri_template { name: 'uri-template' typed_config { "
           "[type.googleapis.com/envoy.extensions.path.match.uri_template.v3."
           "UriTemplateMatchConfig] { path_template: '" +
           std::string(path) + "' } } }";
  };
  EXPECT_TRUE(May(with("/books"))) << "the query is no part of it";
  EXPECT_TRUE(May(with("/*")));
  EXPECT_TRUE(May(with("/**")));
  EXPECT_FALSE(May(with("/*/**")));
  EXPECT_FALSE(May(with("/*/books")));
  EXPECT_EQ(WhyNot(with("/{id}"), "any: true"),
            "rules: policy 'p': permissions[0].uri_template: segment '{id}' is not supported");
  EXPECT_NE(WhyNot(with("/**/*"), "any: true"), "");
  EXPECT_NE(WhyNot(with("books"), "any: true"), "");
}

TEST(CompileRbacTest, EveryPrincipalMeansWhatItSays) {
  EXPECT_TRUE(Is("authenticated {}"));
  EXPECT_TRUE(Is("authenticated { principal_name { suffix: '/alice' } }"));
  EXPECT_FALSE(Is("authenticated { principal_name { suffix: '/bob' } }"));
  EXPECT_TRUE(Is("authenticated { principal_name { safe_regex { regex: '.*/ns/shop/.*' } } }"));
  EXPECT_TRUE(Is("source_ip { address_prefix: '10.9.0.2' prefix_len { value: 32 } }"));
  EXPECT_TRUE(Is("direct_remote_ip { address_prefix: '10.9.0.0' prefix_len { value: 16 } }"));
  EXPECT_FALSE(Is("direct_remote_ip { address_prefix: '203.0.113.0' prefix_len { value: 24 } }"));
  EXPECT_TRUE(Is("remote_ip { address_prefix: '203.0.113.0' prefix_len { value: 24 } }"));
  EXPECT_TRUE(Is("header { name: 'x-token' string_match { prefix: 'a' } }"));
  EXPECT_TRUE(Is("url_path { path { prefix: '/b' } }"));
  EXPECT_TRUE(
      Is("filter_state { key: 'io.istio.peer_principal' "
         "string_match { prefix: 'spiffe://' } }"));
  EXPECT_FALSE(Is("not_id { any: true }"));
  EXPECT_FALSE(Is("and_ids { ids { any: true } ids { not_id { any: true } } }"));
  EXPECT_TRUE(Is("or_ids { ids { not_id { any: true } } ids { any: true } }"));
}

TEST(CompileRbacTest, WhatIsWrongIsNamedWithItsPlace) {
  EXPECT_EQ(WhyNot("and_rules { rules { any: true } rules {} }", "any: true"),
            "rules: policy 'p': permissions[0].and_rules[1]: no rule is set");
  EXPECT_EQ(WhyNot("any: true", "or_ids {}"), "rules: policy 'p': principals[0].or_ids: is empty");
  EXPECT_EQ(WhyNot("any: false", "any: true"),
            "rules: policy 'p': permissions[0]: 'any' must be true");
  EXPECT_EQ(WhyNot("destination_port: 70000", "any: true"),
            "rules: policy 'p': permissions[0]: 'destination_port' must be at most 65535");
  EXPECT_NE(WhyNot("destination_port_range { start: 9 end: 9 }", "any: true"), "");
  EXPECT_NE(WhyNot("url_path {}", "any: true"), "");
  EXPECT_NE(WhyNot("header { name: 'a' string_match { safe_regex { regex: '(' } } }", "any: true"),
            "");
  EXPECT_NE(WhyNot("any: true", "remote_ip { address_prefix: 'x' prefix_len { value: 1 } }"), "");
  EXPECT_EQ(
      std::string(
          Compile("policies { key: 'p' value { permissions { any: true } } }").status().message()),
      "rules: policy 'p': principals: is empty");
  EXPECT_FALSE(Compile("action: 9").ok());
}

TEST(CompileRbacTest, WhatWeDoNotHaveIsRefusedByName) {
  EXPECT_EQ(WhyNot("metadata { filter: 'x' }", "any: true"),
            "rules: policy 'p': permissions[0]: field 'metadata' is not supported");
  EXPECT_EQ(WhyNot("any: true", "metadata { filter: 'x' }"),
            "rules: policy 'p': principals[0]: field 'metadata' is not supported");
  EXPECT_EQ(WhyNot("matcher { name: 'x' }", "any: true"),
            "rules: policy 'p': permissions[0]: field 'matcher' is not supported");
  EXPECT_NE(WhyNot("any: true", "filter_state { key: 'other' string_match { exact: 'a' } }"), "");
  EXPECT_FALSE(Compile("audit_logging_options {}").ok());
}

TEST(CompileRbacTest, PoliciesStandInTheOrderOfTheirNames) {
  std::string text = "action: DENY ";
  for (const char* name : {"c", "a", "b"}) {
    text += std::string("policies { key: '") + name +
            "' value { permissions { any: true } principals { any: true } } }";
  }
  const auto rules = Compile(text);
  ASSERT_TRUE(rules.ok()) << rules.status();
  EXPECT_EQ((*rules)->action, RbacAction::kDeny);
  ASSERT_EQ((*rules)->policies.size(), 3u);
  EXPECT_EQ((*rules)->policies[0].name, "a");
  EXPECT_EQ((*rules)->policies[2].name, "c");
}

TEST(CompileRbacTest, AChainHasAFilterForEachActionAndRoutesSpeakOverThem) {
  envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager hcm;
  ASSERT_TRUE(TextFormat::ParseFromString(R"(
    http_filters { name: "envoy.filters.http.rbac" typed_config {
      [type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC] {
        rules { action: DENY } } } }
    http_filters { name: "envoy.filters.http.rbac" typed_config {
      [type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC] {
        shadow_rules { action: ALLOW } shadow_rules_stat_prefix: "istio_dry_run_allow_" } } }
    http_filters { name: "envoy.filters.http.router" typed_config {
      [type.googleapis.com/envoy.extensions.filters.http.router.v3.Router] {} } })",
                                          &hcm));
  const auto filters = CompileHttpFilters(hcm.http_filters(), "listener 'l'");
  ASSERT_TRUE(filters.ok()) << filters.status();
  EXPECT_EQ(filters->filters.size(), 2u);

  envoy::config::route::v3::Route route;
  ASSERT_TRUE(TextFormat::ParseFromString(R"(
    typed_per_filter_config { key: "envoy.filters.http.rbac" value {
      [type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute] {} } })",
                                          &route));
  const auto own = CompileFilterOverrides(route.typed_per_filter_config(), "route 'r'");
  ASSERT_TRUE(own.ok()) << own.status();
  ASSERT_EQ(own->rbac.size(), 1u);
  EXPECT_EQ(own->rbac[0].filter, "envoy.filters.http.rbac");
  EXPECT_EQ(own->rbac[0].config, nullptr);
  FilterOverrides wider;
  wider.rbac = {{"envoy.filters.http.rbac", std::make_shared<RbacConfig>()}, {"b", nullptr}};
  const FilterOverrides merged = MergeOverrides(*own, wider);
  ASSERT_EQ(merged.rbac.size(), 2u);
  EXPECT_EQ(merged.rbac[0].config, nullptr);
  EXPECT_EQ(merged.rbac[1].filter, "b");
}

TEST(CompileRbacTest, TheNetworkFilterWantsAPrefixForItsCounters) {
  envoy::extensions::filters::network::rbac::v3::RBAC filter;
  google::protobuf::Any any;
  any.PackFrom(filter);
  EXPECT_FALSE(CompileNetworkRbac(any, "filter").ok());
  filter.set_stat_prefix("tcp.");
  filter.mutable_rules();
  any.PackFrom(filter);
  EXPECT_TRUE(CompileNetworkRbac(any, "filter").ok());
}

}  // namespace
}  // namespace meltemi::proxy
