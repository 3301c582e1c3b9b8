#include "proxy/config/compile/route.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "envoy/config/route/v3/route.pb.h"
#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.pb.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proxy/config/compile/context.h"
#include "proxy/config/secrets/secret_store_fake.h"
#include "proxy/observe/log_sink.h"
#include "proxy/observe/stream_info.h"
#include "proxy/route/rewrite.h"
#include "proxy/route/route_test_builder.h"

namespace meltemi::proxy {
namespace {

using envoy::config::route::v3::RouteConfiguration;

class CompileRouteTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::shared_ptr<const RouteTable>> Compile(const std::string& text) {
    RouteConfiguration config;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
    return CompileRouteTable(config, context_);
  }
  // A table "t" with one virtual host "h" for all domains.
  absl::StatusOr<std::shared_ptr<const RouteTable>> CompileHost(const std::string& body) {
    return Compile(absl::StrCat("name: 't' virtual_hosts { name: 'h' domains: '*' ", body, " }"));
  }
  // … and one route in it that matches everything.
  const Route& Only(const std::string& body) {
    auto table = CompileHost(absl::StrCat("routes { match { prefix: '/' } ", body, " }"));
    EXPECT_TRUE(table.ok()) << table.status();
    table_ = *table;
    return *table_->virtual_hosts[0]->routes[0];
  }
  std::string ErrorOf(const std::string& route_body) {
    const auto table =
        CompileHost(absl::StrCat("routes { name: 'r' match { prefix: '/' } ", route_body, " }"));
    EXPECT_FALSE(table.ok());
    return std::string(table.status().message());
  }

  LogSinks sinks_;
  SecretStoreFake secrets_;
  CompileContext context_{sinks_, {}, "node", secrets_};
  std::shared_ptr<const RouteTable> table_;
};

// What Istio's control plane makes of the tutorial's canary with mirror.
constexpr char kIstioShaped[] = R"(
  name: "80"
  virtual_hosts {
    name: "flaskapp.default.svc.cluster.local:80"
    domains: "flaskapp.default.svc.cluster.local"
    domains: "flaskapp" domains: "flaskapp.default.svc" domains: "flaskapp.default" domains:
        "10.96.3.4"
    routes {
      match {
        prefix: "/" case_sensitive { value: true }
        headers { name: "lab" string_match { exact: "canary" } }
      }
      route {
        cluster: "outbound|80|v2|flaskapp.default.svc.cluster.local"
        timeout {}
        retry_policy {
          retry_on: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"
          num_retries { value: 2 }
          retry_host_predicate {
            name: "envoy.retry_host_predicates.previous_hosts"
            typed_config {
      [type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate] {}
            }
          }
          host_selection_retry_max_attempts: 5
          retriable_status_codes: 503
        }
        request_mirror_policies {
          cluster: "outbound|80|v1|flaskapp.default.svc.cluster.local"
          runtime_fraction { default_value { numerator: 100 } }
          trace_sampled { value: false }
        }
        max_grpc_timeout {}
      }
      metadata { filter_metadata { key: "istio" value {} } }
      decorator { operation: "flaskapp.default.svc.cluster.local:80/*" }
    }
    routes {
      match { prefix: "/" }
      route {
        weighted_clusters {
      clusters { name: "outbound|80|v1|flaskapp.default.svc.cluster.local" weight { value: 70 } }
      clusters { name: "outbound|80|v2|flaskapp.default.svc.cluster.local" weight { value: 30 } }
          total_weight { value: 100 }
        }
        timeout { seconds: 3 }
      }
    }
    include_request_attempt_count: true
  }
  virtual_hosts {
    name: "allow_any" domains: "*"
    routes { name: "allow_any" match { prefix: "/" } route { cluster: "PassthroughCluster"
        timeout {} } }
    include_request_attempt_count: true
  }
  validate_clusters { value: false }
  max_direct_response_body_size_bytes { value: 1048576 }
  ignore_port_in_host_matching: true
)";

TEST_F(CompileRouteTest, AnIstioShapedTable) {
  // Links the predicate's type, which the text below names.
  envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate::descriptor();
  const auto table = Compile(kIstioShaped);
  ASSERT_TRUE(table.ok()) << table.status();
  const auto canary = Get("flaskapp:80", "/env/NAME", {{"lab", "canary"}});
  const VirtualHost* host = nullptr;
  const Route* route = (*table)->Match(*canary, {}, &host);
  ASSERT_NE(route, nullptr);
  EXPECT_EQ(route->clusters[0].cluster, "outbound|80|v2|flaskapp.default.svc.cluster.local");
  ASSERT_NE(route->retry, nullptr);
  EXPECT_EQ(route->retry->retry_on, kRetryConnectFailure | kRetryRefusedStream |
                                        kRetryGrpcUnavailable | kRetryGrpcCancelled |
                                        kRetryRetriableStatusCodes);
  EXPECT_EQ(route->retry->retriable_status_codes, std::vector<uint32_t>{503});
  EXPECT_TRUE(route->retry->other_hosts);
  EXPECT_EQ(route->retry->host_selection_tries, 5u);
  EXPECT_EQ(route->timeouts.request, Duration(0));
  ASSERT_EQ(route->mirrors.size(), 1u);
  EXPECT_TRUE(route->mirrors[0].append_shadow);
  EXPECT_EQ(route->decorator_operation, "flaskapp.default.svc.cluster.local:80/*");
  EXPECT_TRUE(host->include_attempt_count_request);

  route = (*table)->Match(*Get("flaskapp", "/env/NAME"), {}, &host);
  ASSERT_NE(route, nullptr);
  EXPECT_EQ(route->weight_total, 100u);
  EXPECT_EQ(route->timeouts.request, seconds(3));
  EXPECT_EQ(route->virtual_host, "flaskapp.default.svc.cluster.local:80");
  EXPECT_EQ(Chosen(**table, *Get("example.org", "/")), "allow_any");
}

TEST_F(CompileRouteTest, HeadersOfAllLevelsInEnvoysOrder) {
  const auto table = Compile(R"(
    name: "t"
    request_headers_to_add { header { key: "x" value: "table" } }
    virtual_hosts {
      name: "h" domains: "*"
      request_headers_to_add { header { key: "x" value: "host" } }
      response_headers_to_remove: "Server"
      routes {
        match { prefix: "/" }
        request_headers_to_add { header { key: "X" value: "route %REQ(:PATH)%" } }
        route { cluster: "c" }
      }
    })");
  ASSERT_TRUE(table.ok()) << table.status();
  const Route* route = (*table)->virtual_hosts[0]->routes[0].get();
  const auto request = Get("a", "/p");
  StreamInfo info;
  ApplyRequestChanges(*route, route->clusters[0], *request, info);
  std::string scratch;
  bool present = false;
  EXPECT_EQ(request->GetJoined("x", &scratch, &present), "route /p,host,table");
  const auto response = http::HeaderMap::New();
  response->Add(http::HeaderId::kServer, "s");
  ApplyResponseChanges(*route, &route->clusters[0], *request, *response, info);
  EXPECT_FALSE(response->Has(http::HeaderId::kServer));
}

TEST_F(CompileRouteTest, TheWaysToAppend) {
  const Route& route = Only(R"(
    route { cluster: "c" }
    request_headers_to_add { header { key: "a" value: "1" } append { value: false } }
    request_headers_to_add { header { key: "b" value: "1" } append_action: ADD_IF_ABSENT }
    request_headers_to_add { header { key: "Host" value: "h" } append_action:
        OVERWRITE_IF_EXISTS_OR_ADD }
  )");
  ASSERT_EQ(route.own_request_ops.add.size(), 3u);
  EXPECT_EQ(route.own_request_ops.add[0].append, HeaderOps::Append::kOverwriteOrAdd);
  EXPECT_EQ(route.own_request_ops.add[1].append, HeaderOps::Append::kAddIfAbsent);
  EXPECT_EQ(route.own_request_ops.add[2].name, ":authority");
}

TEST_F(CompileRouteTest, RedirectAndDirectResponse) {
  const Route& redirect = Only(
      "redirect { https_redirect: true response_code: PERMANENT_REDIRECT port_redirect: 8443 }");
  EXPECT_EQ(redirect.action, Route::Action::kRedirect);
  EXPECT_EQ(redirect.redirect.status, 308);
  EXPECT_EQ(RedirectLocation(redirect, *Get("a:80", "/x")), "https://a:8443/x");
  const Route& direct = Only("direct_response { status: 503 body { inline_string: 'no' } }");
  EXPECT_EQ(direct.direct.status, 503);
  EXPECT_EQ(direct.direct.body, "no");
}

TEST_F(CompileRouteTest, HashPoliciesAndTimeouts) {
  const Route& route = Only(R"(route {
    cluster: "c"
    hash_policy { header { header_name: "User" } terminal: true }
    hash_policy { cookie { name: "s" ttl { seconds: 60 } path: "/p" } }
    hash_policy { connection_properties { source_ip: true } }
    hash_policy { query_parameter { name: "q" } }
    idle_timeout { seconds: 9 }
    max_stream_duration { max_stream_duration { seconds: 7 } grpc_timeout_header_max {} }
  })");
  ASSERT_EQ(route.hash.size(), 4u);
  EXPECT_EQ(route.hash[0].name, "user");
  EXPECT_TRUE(route.hash[0].terminal);
  EXPECT_EQ(route.hash[1].cookie_ttl, seconds(60));
  EXPECT_EQ(route.hash[2].kind, HashPolicy::Kind::kSourceIp);
  EXPECT_EQ(route.hash[3].kind, HashPolicy::Kind::kQueryParameter);
  EXPECT_FALSE(route.timeouts.request.has_value());
  EXPECT_EQ(route.timeouts.idle, seconds(9));
  EXPECT_EQ(route.timeouts.max_stream, seconds(7));
  EXPECT_EQ(route.timeouts.grpc_header_max, Duration(0));
}

TEST_F(CompileRouteTest, WhatALevelDoesNotSayComesFromTheOneAbove) {
  const auto table = CompileHost(R"(
    retry_policy { retry_on: "5xx" num_retries { value: 4 } }
    request_mirror_policies { cluster: "m" }
    cors { allow_origin_string_match { exact: "*" } }
    typed_per_filter_config {
      key: "envoy.filters.http.fault"
      value { [type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault] {
        abort { http_status: 500 percentage { numerator: 10 } } } }
    }
    routes { match { path: "/own" } route { cluster: "c" retry_policy { retry_on: "reset" }
        request_mirror_policies { cluster: "n" } } }
    routes { match { prefix: "/" } route { weighted_clusters { clusters { name: "c" weight {
        value: 1 } } } } }
  )");
  ASSERT_TRUE(table.ok()) << table.status();
  const auto& routes = (*table)->virtual_hosts[0]->routes;
  EXPECT_EQ(routes[0]->retry->retry_on, kRetryReset);
  EXPECT_EQ(routes[0]->mirrors[0].cluster, "n");
  EXPECT_EQ(routes[1]->retry->retry_on, kRetry5xx);
  EXPECT_EQ(routes[1]->retry->retries_max, 4u);
  EXPECT_EQ(routes[1]->mirrors[0].cluster, "m");
  ASSERT_NE(routes[1]->cors, nullptr);
  ASSERT_NE(routes[1]->clusters[0].filters.fault, nullptr);
  EXPECT_EQ(routes[1]->clusters[0].filters.fault->abort_status, 500);
  EXPECT_EQ(routes[1]->clusters[0].filters.fault->abort_share.numerator, 10u);
}

TEST_F(CompileRouteTest, FaultAndCorsOfARoute) {
  const Route& route = Only(R"(
    route { cluster: "c" }
    typed_per_filter_config {
      key: "envoy.filters.http.fault"
      value { [type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault] {
        delay { fixed_delay { seconds: 5 } percentage { numerator: 1000 denominator: MILLION } }
        abort { grpc_status: 14 percentage { numerator: 100 } }
        headers { name: "x" present_match: true }
        max_active_faults { value: 3 } } }
    }
    typed_per_filter_config {
      key: "envoy.filters.http.cors"
      value { [type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy] {
        allow_origin_string_match { prefix: "https://" } allow_methods: "GET" allow_credentials {
            value: true }
        forward_not_matching_preflights { value: false } } }
    })");
  const FaultPolicy& fault = *route.filters.fault;
  EXPECT_EQ(fault.delay, seconds(5));
  EXPECT_EQ(fault.delay_share.denominator, 1'000'000u);
  EXPECT_EQ(fault.abort_grpc_status, 14);
  EXPECT_EQ(fault.headers.size(), 1u);
  EXPECT_EQ(fault.active_faults_max, 3u);
  const CorsPolicy& cors = *route.filters.cors;
  EXPECT_TRUE(cors.allow_origins[0].Matches("https://a"));
  EXPECT_EQ(cors.allow_credentials, true);
  EXPECT_FALSE(cors.forward_not_matching_preflights);
}

TEST_F(CompileRouteTest, ErrorsNameTableHostRouteAndField) {
  EXPECT_EQ(
      ErrorOf("route { cluster: 'c' metadata_match {} }"),
      "route table 't', virtual host 'h', routes[0] 'r': route: field 'metadata_match' is not "
      "supported");
  EXPECT_EQ(
      ErrorOf(
          "route { cluster: 'c' } request_headers_to_add { header { key: 'x' value: '%NO(1)%' } }"),
      "route table 't', virtual host 'h', routes[0] 'r': request_headers_to_add[0]: header "
      "\"x\": command %NO(1)%: unknown or not supported");
}

TEST_F(CompileRouteTest, WhatIsWrongIsRefused) {
  const char* const kBad[] = {
      "",  // no action
      "route {}",
      "route { cluster: '' }",
      "route { weighted_clusters { clusters { name: 'a' weight { value: 0 } } } }",
      "route { weighted_clusters { clusters { name: 'a' weight { value: 1 } } total_weight { "
      "value: 2 } } }",
      "route { weighted_clusters { clusters { name: 'a' } } }",
      "route { cluster: 'c' timeout { seconds: -1 } }",
      "route { cluster: 'c' retry_policy { retry_on: 'sometimes' } }",
      "route { cluster: 'c' retry_policy { retry_back_off { base_interval {} } } }",
      "route { cluster: 'c' hash_policy { filter_state { key: 'k' } } }",
      "route { cluster: 'c' hash_policy { header { header_name: 'a' regex_rewrite {} } } }",
      "route { cluster: 'c' upgrade_configs { upgrade_type: 'CONNECT' connect_config {} } }",
      "route { cluster: 'c' internal_redirect_policy {} }",
      "route { cluster: 'c' hedge_policy { hedge_on_per_try_timeout: true } }",
      "route { cluster: 'c' prefix_rewrite: '/a' regex_rewrite { pattern { regex: 'a' } "
      "substitution: 'b' } }",
      "route { cluster: 'c' regex_rewrite { pattern { regex: 'a' } substitution: '\\\\1' } }",
      "route { cluster: 'c' regex_rewrite { pattern { regex: '(' } substitution: 'b' } }",
      "route { cluster_specifier_plugin: 'p' }",
      "direct_response { status: 99 }",
      "direct_response { status: 200 body { filename: '/etc/passwd' } }",
      "redirect { port_redirect: 65536 }",
      "filter_action {}",
      "stat_prefix: 's' route { cluster: 'c' }",
      "route { cluster: 'c' } request_headers_to_add { header { key: 'a b' value: '1' } }",
      "route { cluster: 'c' } request_headers_to_add { header { key: 'a' value: '1\\n2' } }",
      "route { cluster: 'c' } response_headers_to_add { header { key: ':status' value: '1' } }",
      "route { cluster: 'c' } request_headers_to_remove: 'host'",
      "route { cluster: 'c' } request_headers_to_remove: ':path'",
      "route { cluster: 'c' } typed_per_filter_config { key: 'x' value { type_url: 't/x.Y' } }",
      "route { cluster: 'c' request_mirror_policies {} }",
  };
  for (const char* body : kBad) {
    const auto table =
        CompileHost(absl::StrCat("routes { name: 'r' match { prefix: '/' } ", body, " }"));
    EXPECT_FALSE(table.ok()) << body;
    if (!table.ok()) {
      EXPECT_EQ(table.status().message().find("route table 't', virtual host 'h', routes[0] 'r'"),
                0u)
          << table.status();
    }
  }
}

TEST_F(CompileRouteTest, MatchesThatCanNotBeAreRefused) {
  for (const char* match : {
           "",
           "prefix: '/' dynamic_metadata {}",
           "safe_regex { regex: '[' }",
           "safe_regex {}",
           "path_separated_prefix: '/a/'",
           "path_match_policy {}",
           "prefix: '/' headers { string_match { exact: 'a' } }",
           "prefix: '/' headers { name: 'a' string_match {} }",
           "prefix: '/' headers { name: 'a' string_match { prefix: '' } }",
           "prefix: '/' query_parameters { string_match { exact: 'a' } }",
           "prefix: '/' tls_context { validated { value: true } }",
       }) {
    EXPECT_FALSE(
        CompileHost(absl::StrCat("routes { match { ", match, " } route { cluster: 'c' } }")).ok())
        << match;
  }
}

TEST_F(CompileRouteTest, HostsAndTablesAreStrictToo) {
  EXPECT_FALSE(CompileHost("rate_limits {}").ok());
  EXPECT_FALSE(CompileHost("require_tls: EXTERNAL_ONLY").ok());
  EXPECT_FALSE(CompileHost("matcher {}").ok());
  EXPECT_FALSE(Compile("name: 't' vhds {}").ok());
  EXPECT_FALSE(Compile("name: 't' internal_only_headers: 'x'").ok());
  EXPECT_FALSE(Compile("name: 't' virtual_hosts { name: 'h' }").ok());
  EXPECT_FALSE(Compile("name: 't' most_specific_header_mutations_wins: true").ok());
}

}  // namespace
}  // namespace meltemi::proxy
