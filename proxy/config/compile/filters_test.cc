#include "proxy/config/compile/filters.h"

#include "envoy/extensions/filters/http/cors/v3/cors.pb.h"
#include "envoy/extensions/filters/http/fault/v3/fault.pb.h"
#include "envoy/extensions/filters/http/grpc_stats/v3/config.pb.h"
#include "envoy/extensions/filters/http/router/v3/router.pb.h"
#include "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.pb.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "udpa/type/v1/typed_struct.pb.h"

namespace meltemi::proxy {
namespace {

using envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;

absl::StatusOr<CompiledHttpFilters> Compile(const std::string& text) {
  HttpConnectionManager hcm;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &hcm)) << text;
  return CompileHttpFilters(hcm.http_filters(), "listener 'l'");
}

constexpr char kRouter[] = R"(http_filters { name: "envoy.filters.http.router" typed_config {
  [type.googleapis.com/envoy.extensions.filters.http.router.v3.Router] {} } })";

TEST(CompileFiltersTest, AnIstioChain) {
  const auto filters = Compile(std::string(R"(
    http_filters { name: "istio.metadata_exchange" typed_config {
      [type.googleapis.com/udpa.type.v1.TypedStruct] {
        type_url: "type.googleapis.com/io.istio.http.peer_metadata.Config" } } }
    http_filters { name: "envoy.filters.http.grpc_stats" typed_config {
      [type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig] {
        emit_filter_state: true stats_for_all_methods { value: false } } } }
    http_filters { name: "istio.alpn" typed_config {
      type_url: "type.googleapis.com/istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig" } }
    http_filters { name: "envoy.filters.http.fault" typed_config {
      [type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault] {} } }
    http_filters { name: "envoy.filters.http.cors" typed_config {
      [type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors] {} } }
    http_filters { name: "istio.stats" typed_config {
      [type.googleapis.com/udpa.type.v1.TypedStruct] { type_url:
          "type.googleapis.com/stats.PluginConfig" } } }
  )") + kRouter);
  ASSERT_TRUE(filters.ok()) << filters.status();
  ASSERT_EQ(filters->filters.size(), 2u);
  EXPECT_EQ(filters->filters[0].name, "envoy.filters.http.fault");
  EXPECT_EQ(filters->filters[1].name, "envoy.filters.http.cors");
  EXPECT_FALSE(filters->suppress_envoy_headers);
}

TEST(CompileFiltersTest, TheRouterSaysWhetherEnvoysHeadersAreKept) {
  const auto filters = Compile(R"(http_filters { name: "router" typed_config {
    [type.googleapis.com/envoy.extensions.filters.http.router.v3.Router] {
        suppress_envoy_headers: true } } })");
  ASSERT_TRUE(filters.ok()) << filters.status();
  EXPECT_TRUE(filters->suppress_envoy_headers);
}

TEST(CompileFiltersTest, AnUnknownFilterIsRefusedByTypeUnlessOptional) {
  const std::string unknown =
      "http_filters { name: 'lua' typed_config { type_url: 'type.googleapis.com/some.Lua' } ";
  const auto refused = Compile(unknown + "}" + kRouter);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().message(),
            "listener 'l': http_filters[0] 'lua': a filter of type 'some.Lua' is not supported");
  EXPECT_TRUE(Compile(unknown + "is_optional: true }" + kRouter).ok());
}

TEST(CompileFiltersTest, TheRouterStandsLast) {
  EXPECT_FALSE(Compile("").ok());
  EXPECT_FALSE(Compile(std::string(kRouter) + kRouter).ok());
  EXPECT_FALSE(Compile(R"(http_filters { name: "cors" typed_config {
    [type.googleapis.com/envoy.extensions.filters.http.cors.v3.Cors] {} } })")
                   .ok());
}

TEST(CompileFiltersTest, WhatChangesMeaningIsRefused) {
  EXPECT_FALSE(Compile(R"(http_filters { name: "r" typed_config {
    [type.googleapis.com/envoy.extensions.filters.http.router.v3.Router] { strict_check_headers:
        "x-envoy-max-retries" } } })")
                   .ok());
  EXPECT_FALSE(Compile(std::string(R"(http_filters { name: "f" disabled: true typed_config {
    [type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault] {} } })") +
                       kRouter)
                   .ok());
  EXPECT_FALSE(Compile(std::string(R"(http_filters { name: "f" typed_config {
    [type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault] { response_rate_limit
        {} } } })") + kRouter)
                   .ok());
  EXPECT_FALSE(Compile(std::string(R"(http_filters { name: "g" typed_config {
    [type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig] {
        stats_for_all_methods { value: true } } } })") +
                       kRouter)
                   .ok());
}

TEST(MergeOverridesTest, OwnWinsFilterByFilter) {
  FilterOverrides base, own;
  base.fault = std::make_shared<FaultPolicy>();
  base.cors = std::make_shared<CorsPolicy>();
  own.cors_disabled = true;
  const FilterOverrides merged = MergeOverrides(own, base);
  EXPECT_EQ(merged.fault, base.fault);
  EXPECT_EQ(merged.cors, nullptr);
  EXPECT_TRUE(merged.cors_disabled);
}

}  // namespace
}  // namespace meltemi::proxy
