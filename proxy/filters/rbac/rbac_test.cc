#include "proxy/filters/rbac/rbac.h"

#include "base/metrics/metrics.h"
#include "gtest/gtest.h"
#include "proxy/filters/filter_fake.h"
#include "proxy/observe/tls_info.h"

namespace meltemi::proxy {
namespace {

using http::HeaderMap;

// Rules with one policy "p" about paths that begin with `prefix`.
std::shared_ptr<RbacRules> About(RbacAction action, absl::string_view prefix) {
  rbac::UrlPath path;
  path.matcher.kind = StringMatcher::Kind::kPrefix;
  path.matcher.text = std::string(prefix);
  RbacRule rule;
  rule.condition = std::move(path);
  auto rules = std::make_shared<RbacRules>();
  rules->action = action;
  rules->policies.emplace_back("p", std::vector{rule}, std::vector{RbacRule()});
  return rules;
}

class RbacTest : public ::testing::Test {
 protected:
  FilterResult Ask(FilterFactory& factory, absl::string_view path) {
    stream_.answer.reset();
    request_->set_method("GET");
    request_->set_path(path);
    return factory.Judge(stream_, *request_);
  }
  std::unique_ptr<FilterFactory> Http(RbacConfig config, RbacStatPrefixes prefixes = {}) {
    config_ = NewHttpRbac("envoy.filters.http.rbac", std::move(config), std::move(prefixes));
    auto factory = config_->NewFactory(shard_.root());
    EXPECT_TRUE(factory->stateless());
    return factory;
  }

  metrics::Registry registry_;
  metrics::Shard& shard_ = registry_.NewShard();
  FakeFilterStream stream_;
  http::HeaderMapPtr request_ = HeaderMap::New();
  std::shared_ptr<const FilterConfig> config_;
};

TEST_F(RbacTest, ARefusedRequestIsToldSoAndTheLogKnowsByWhichPolicy) {
  const auto factory = Http({.rules = About(RbacAction::kDeny, "/admin"), .shadow_rules = nullptr});
  EXPECT_EQ(Ask(*factory, "/shop"), FilterResult::kContinue);
  EXPECT_FALSE(stream_.answer.has_value());
  ASSERT_EQ(Ask(*factory, "/admin"), FilterResult::kAnswered);
  ASSERT_TRUE(stream_.answer.has_value());
  EXPECT_EQ(stream_.answer->status, 403);
  EXPECT_EQ(stream_.answer->grpc_status, 7);
  EXPECT_EQ(stream_.answer->body, "RBAC: access denied");
  EXPECT_EQ(stream_.answer->details, "rbac_access_denied_matched_policy[p]");
  EXPECT_EQ(stream_.answer->flags, 0u);
  EXPECT_EQ(registry_.Sum("envoy_http_rbac_allowed"), 1);
  EXPECT_EQ(registry_.Sum("envoy_http_rbac_denied"), 1);
}

TEST_F(RbacTest, ShadowRulesRefuseNothingAndAreCountedApart) {
  const auto factory = Http({.rules = nullptr, .shadow_rules = About(RbacAction::kAllow, "/a")},
                            {"", "istio_dry_run_allow_"});
  EXPECT_EQ(Ask(*factory, "/a"), FilterResult::kContinue);
  EXPECT_EQ(Ask(*factory, "/b"), FilterResult::kContinue);
  const metrics::Labels label = {{"envoy_rbac_http_prefix", "istio_dry_run_allow_"}};
  EXPECT_EQ(registry_.Sum("envoy_http_rbac_shadow_allowed", label), 1);
  EXPECT_EQ(registry_.Sum("envoy_http_rbac_shadow_denied", label), 1);
  EXPECT_EQ(registry_.Sum("envoy_http_rbac_allowed"), 0);
}

TEST_F(RbacTest, ARouteReplacesTheRulesOrTurnsThemOff) {
  const auto factory = Http({.rules = About(RbacAction::kDeny, "/"), .shadow_rules = nullptr});
  EXPECT_EQ(Ask(*factory, "/a"), FilterResult::kAnswered);
  auto own = std::make_shared<RbacConfig>();
  own->rules = About(RbacAction::kDeny, "/b");
  stream_.filter_overrides.rbac = {{"envoy.filters.http.rbac", own}};
  EXPECT_EQ(Ask(*factory, "/a"), FilterResult::kContinue);
  EXPECT_EQ(Ask(*factory, "/b"), FilterResult::kAnswered);
  stream_.filter_overrides.rbac[0].config = nullptr;
  EXPECT_EQ(Ask(*factory, "/b"), FilterResult::kContinue);
  stream_.filter_overrides.rbac[0].filter = "another";
  EXPECT_EQ(Ask(*factory, "/b"), FilterResult::kAnswered);
}

TEST_F(RbacTest, IdentityAndAddressesAreTheStreams) {
  auto rules = std::make_shared<RbacRules>();
  RbacRule who, where;
  who.condition = rbac::Authenticated{};
  where.condition = rbac::Ip{rbac::Whose::kRemote, *net::Cidr::Parse("198.51.100.0/24")};
  rules->policies.emplace_back("p", std::vector{RbacRule()}, std::vector{who, where});
  const auto factory = Http({.rules = rules, .shadow_rules = nullptr});
  EXPECT_EQ(Ask(*factory, "/"), FilterResult::kAnswered);
  TlsInfo tls;
  tls.peer_verified = true;
  stream_.stream_info.downstream_tls = &tls;
  EXPECT_EQ(Ask(*factory, "/"), FilterResult::kContinue);
  stream_.stream_info.downstream_tls = nullptr;
  stream_.stream_info.downstream_remote = *net::Address::Parse("198.51.100.7:1");
  EXPECT_EQ(Ask(*factory, "/"), FilterResult::kContinue);
}

TEST_F(RbacTest, ConnectionsAreJudgedByWhatTheyAreAndHaveNoPath) {
  RbacRule port;
  port.condition = rbac::Port{6379, 6380};
  auto rules = About(RbacAction::kAllow, "/");
  rules->policies.emplace_back("q", std::vector{port}, std::vector{RbacRule()});
  const auto config = NewNetworkRbac({.rules = rules, .shadow_rules = nullptr}, "tcp.", {});
  const auto filter = config->NewFilter(shard_.root());
  const net::Address remote = *net::Address::Parse("10.0.0.2:999");
  const net::Address redis = *net::Address::Parse("10.0.0.1:6379");
  const net::Address other = *net::Address::Parse("10.0.0.1:6380");
  EXPECT_EQ(filter->Judge({.remote = remote, .local = redis, .server_name = {}}), "");
  EXPECT_EQ(filter->Judge({.remote = remote, .local = other, .server_name = {}}),
            "rbac_access_denied_matched_policy[none]");
  const metrics::Labels labels = {{"envoy_rbac_prefix", "tcp"}, {"envoy_tcp_prefix", "rbac"}};
  EXPECT_EQ(registry_.Sum("envoy_allowed", labels), 1);
  EXPECT_EQ(registry_.Sum("envoy_denied", labels), 1);
}

}  // namespace
}  // namespace meltemi::proxy
