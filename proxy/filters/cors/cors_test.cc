#include "proxy/filters/cors/cors.h"

#include "base/metrics/metrics.h"
#include "gtest/gtest.h"
#include "proxy/filters/filter_fake.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;
using http::HeaderMap;

class CorsTest : public ::testing::Test {
 protected:
  CorsTest() {
    StringMatcher origin;
    origin.text = "http://good.example";
    policy_->allow_origins.push_back(origin);
    policy_->allow_methods = "GET,POST";
    policy_->allow_headers = "x-token";
    policy_->expose_headers = "x-shown";
    policy_->max_age = "600";
    policy_->allow_credentials = true;
    stream_.filter_overrides.cors = policy_;
  }
  std::unique_ptr<Filter> NewFilter() { return factory_->NewFilter(stream_); }
  static http::HeaderMapPtr Request(absl::string_view method, absl::string_view origin) {
    http::HeaderMapPtr request = HeaderMap::New();
    request->set_method(method);
    request->set_path("/");
    if (!origin.empty()) request->Add(HeaderId::kOrigin, origin);
    return request;
  }
  static http::HeaderMapPtr Preflight(absl::string_view origin) {
    http::HeaderMapPtr request = Request("OPTIONS", origin);
    request->Add(HeaderId::kAccessControlRequestMethod, "POST");
    return request;
  }

  metrics::Registry registry_;
  metrics::Shard& shard_ = registry_.NewShard();
  FakeFilterStream stream_;
  std::shared_ptr<CorsPolicy> policy_ = std::make_shared<CorsPolicy>();
  std::shared_ptr<const FilterConfig> config_ = NewCorsFilter();
  std::unique_ptr<FilterFactory> factory_ = config_->NewFactory(shard_.root());
};

TEST_F(CorsTest, APreflightFromAnAllowedOriginIsAnsweredHere) {
  const auto filter = NewFilter();
  ASSERT_EQ(filter->OnRequestHeaders(*Preflight("http://good.example"), true),
            FilterResult::kAnswered);
  ASSERT_TRUE(stream_.answer.has_value());
  EXPECT_EQ(stream_.answer->status, 200);
  const HeaderMap& headers = *stream_.answer->headers;
  EXPECT_EQ(headers.Get(HeaderId::kAccessControlAllowOrigin), "http://good.example");
  EXPECT_EQ(headers.Get(HeaderId::kAccessControlAllowMethods), "GET,POST");
  EXPECT_EQ(headers.Get(HeaderId::kAccessControlAllowHeaders), "x-token");
  EXPECT_EQ(headers.Get(HeaderId::kAccessControlMaxAge), "600");
  EXPECT_EQ(headers.Get(HeaderId::kAccessControlAllowCredentials), "true");
  EXPECT_EQ(registry_.Sum("envoy_http_cors_origin_valid"), 1);
}

TEST_F(CorsTest, AnAllowedRequestsAnswerIsMarked) {
  const auto filter = NewFilter();
  ASSERT_EQ(filter->OnRequestHeaders(*Request("GET", "http://good.example"), true),
            FilterResult::kContinue);
  const auto response = HeaderMap::New();
  response->Add(HeaderId::kAccessControlAllowOrigin, "whatever the upstream said");
  filter->OnResponseHeaders(*response);
  EXPECT_EQ(response->Get(HeaderId::kAccessControlAllowOrigin), "http://good.example");
  EXPECT_EQ(response->Get(HeaderId::kAccessControlExposeHeaders), "x-shown");
}

TEST_F(CorsTest, AnotherOriginGoesOnUnmarked) {
  const auto filter = NewFilter();
  ASSERT_EQ(filter->OnRequestHeaders(*Preflight("http://bad.example"), true),
            FilterResult::kContinue);
  const auto response = HeaderMap::New();
  filter->OnResponseHeaders(*response);
  EXPECT_EQ(response->size(), 0u);
  EXPECT_EQ(registry_.Sum("envoy_http_cors_origin_invalid"), 1);
}

TEST_F(CorsTest, PreflightsThatDoNotMatchCanBeKeptFromTheUpstream) {
  policy_->forward_not_matching_preflights = false;
  const auto filter = NewFilter();
  ASSERT_EQ(filter->OnRequestHeaders(*Preflight("http://bad.example"), true),
            FilterResult::kAnswered);
  EXPECT_EQ(stream_.answer->status, 200);
  EXPECT_EQ(stream_.answer->headers->size(), 0u);
  EXPECT_EQ(NewFilter()->OnRequestHeaders(*Request("OPTIONS", "http://bad.example"), true),
            FilterResult::kContinue);
}

TEST_F(CorsTest, WithoutOriginOrPolicyNothingHappens) {
  EXPECT_EQ(NewFilter()->OnRequestHeaders(*Request("OPTIONS", ""), true), FilterResult::kContinue);
  stream_.filter_overrides.cors = nullptr;
  EXPECT_EQ(NewFilter(), nullptr);
  Route route;
  route.cors = policy_.get();
  stream_.chosen_route = &route;
  EXPECT_NE(NewFilter(), nullptr);
  stream_.filter_overrides.cors_disabled = true;
  EXPECT_EQ(NewFilter(), nullptr);
}

TEST_F(CorsTest, AStarAllowsEveryOrigin) {
  policy_->allow_origins[0].text = "*";
  EXPECT_EQ(NewFilter()->OnRequestHeaders(*Preflight("http://any.example"), true),
            FilterResult::kAnswered);
  EXPECT_EQ(stream_.answer->headers->Get(HeaderId::kAccessControlAllowOrigin),
            "http://any.example");
}

TEST_F(CorsTest, ShadowModeOnlyCounts) {
  policy_->enabled = {0, 100};
  policy_->shadow = {100, 100};
  EXPECT_EQ(NewFilter()->OnRequestHeaders(*Preflight("http://good.example"), true),
            FilterResult::kContinue);
  EXPECT_EQ(registry_.Sum("envoy_http_cors_origin_valid"), 1);
}

}  // namespace
}  // namespace meltemi::proxy
