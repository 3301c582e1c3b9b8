#include "proxy/filters/rbac/engine.h"

#include <optional>

#include "gtest/gtest.h"
#include "proxy/observe/tls_info.h"

namespace meltemi::proxy {
namespace {

using http::HeaderMap;

StringMatcher Exact(absl::string_view text) {
  StringMatcher matcher;
  matcher.text = std::string(text);
  return matcher;
}

StringMatcher Prefix(absl::string_view text) {
  StringMatcher matcher = Exact(text);
  matcher.kind = StringMatcher::Kind::kPrefix;
  return matcher;
}

template <typename Condition>
RbacRule Rule(Condition condition, bool negated = false) {
  RbacRule rule;
  rule.condition = std::move(condition);
  rule.negated = negated;
  return rule;
}

RbacRule Always() { return Rule(rbac::Set{}); }
RbacRule Path(absl::string_view prefix) { return Rule(rbac::UrlPath{Prefix(prefix)}); }
RbacRule Method(absl::string_view method) {
  HeaderMatcher header;
  header.name = ":method";
  header.kind = HeaderMatcher::Kind::kString;
  header.string = Exact(method);
  return Rule(std::move(header));
}
RbacRule Named(StringMatcher name) { return Rule(rbac::Authenticated{false, std::move(name)}); }

// A request as rules see it; the defaults are a plaintext GET.
struct Visit {
  Visit() {
    request->set_method("GET");
    request->set_path("/");
    request->set_authority("shop");
  }
  operator RbacFacts() const {
    return {.request = *request,
            .local = local,
            .direct_remote = direct_remote,
            .remote = remote,
            .server_name = server_name,
            .tls = tls.has_value() ? &*tls : nullptr};
  }
  // Comes with a certificate of this SPIFFE name.
  Visit& As(std::string uri) {
    tls.emplace();
    tls->peer_presented = tls->peer_verified = true;
    tls->peer_uri_sans = {std::move(uri)};
    return *this;
  }

  http::HeaderMapPtr request = HeaderMap::New();
  net::Address local = *net::Address::Parse("10.0.0.1:8080");
  net::Address direct_remote = *net::Address::Parse("10.9.0.2:40000");
  net::Address remote = *net::Address::Parse("203.0.113.9:0");
  std::string server_name;
  std::optional<TlsInfo> tls;
};

TEST(RbacEngineTest, APolicyWantsOneOfItsPermissionsAndOneOfItsPrincipals) {
  const RbacPolicy policy("p", {Path("/a"), Method("POST")},
                          {Named(Exact("spiffe://x")), Named(Exact("spiffe://y"))});
  Visit visit;
  visit.request->set_path("/a/b");
  EXPECT_FALSE(policy.Matches(visit)) << "nobody";
  EXPECT_TRUE(policy.Matches(visit.As("spiffe://y")));
  EXPECT_FALSE(policy.Matches(visit.As("spiffe://z")));
  visit.As("spiffe://x").request->set_path("/b");
  EXPECT_FALSE(policy.Matches(visit)) << "neither the path nor the method";
  visit.request->set_method("POST");
  EXPECT_TRUE(policy.Matches(visit));
}

TEST(RbacEngineTest, SetsAndNegation) {
  const auto set = [](bool all) {
    return rbac::Set{.all = all, .rules = {Path("/a"), Method("GET")}};
  };
  Visit visit;
  EXPECT_FALSE(Rule(set(true)).Matches(visit));
  EXPECT_TRUE(Rule(set(false)).Matches(visit));
  EXPECT_TRUE(Rule(set(true), true).Matches(visit));
  EXPECT_FALSE(Rule(set(false), true).Matches(visit));
  EXPECT_TRUE(Always().Matches(visit));
  EXPECT_FALSE(Rule(rbac::Set{}, true).Matches(visit));
}

TEST(RbacEngineTest, ASecondValueOfAHeaderHidesNothing) {
  HeaderMatcher token;
  token.name = "x-token";
  token.kind = HeaderMatcher::Kind::kString;
  token.string = Exact("a");
  HeaderMatcher inverted = token, number = token, joined = token;
  inverted.invert = true;
  number.kind = HeaderMatcher::Kind::kRange;
  number.range_start = 1;
  number.range_end = 5;
  joined.string = Exact("a,b");
  Visit visit;
  EXPECT_FALSE(Rule(token).Matches(visit));
  EXPECT_FALSE(Rule(inverted).Matches(visit)) << "absent matches nothing, inverted or not";
  visit.request->Add("x-token", "b");
  EXPECT_TRUE(Rule(inverted).Matches(visit));
  visit.request->Add("x-token", "a");
  visit.request->Add("x-token", "3");
  EXPECT_TRUE(Rule(token).Matches(visit));
  EXPECT_FALSE(Rule(inverted).Matches(visit));
  EXPECT_TRUE(Rule(number).Matches(visit));
  EXPECT_FALSE(Rule(joined).Matches(visit));
}

TEST(RbacEngineTest, ThePathIsWhatStandsBeforeQueryAndFragment) {
  const RbacRule rule = Rule(rbac::UrlPath{Exact("/admin")});
  Visit visit;
  for (const char* path : {"/admin", "/admin?x=/b", "/admin#part", "/admin?#"}) {
    visit.request->set_path(path);
    EXPECT_TRUE(rule.Matches(visit)) << path;
  }
  for (const char* path : {"/admin/", "/x?/admin", ""}) {
    visit.request->set_path(path);
    EXPECT_FALSE(rule.Matches(visit)) << path;
  }
}

TEST(RbacEngineTest, AddressesAndPorts) {
  using Whose = rbac::Whose;
  const Visit visit;
  const auto in = [&](Whose whose, absl::string_view range) {
    return Rule(rbac::Ip{whose, *net::Cidr::Parse(range)}).Matches(visit);
  };
  EXPECT_TRUE(in(Whose::kLocal, "10.0.0.0/24"));
  EXPECT_TRUE(in(Whose::kDirectRemote, "10.9.0.2/32"));
  EXPECT_FALSE(in(Whose::kDirectRemote, "203.0.113.0/24"));
  EXPECT_TRUE(in(Whose::kRemote, "203.0.113.0/24"));
  EXPECT_FALSE(in(Whose::kRemote, "2001:db8::/32"));
  EXPECT_TRUE(Rule(rbac::Port{8080, 8081}).Matches(visit));
  EXPECT_FALSE(Rule(rbac::Port{8081, 9000}).Matches(visit));
  EXPECT_FALSE(Rule(rbac::Port{8000, 8080}).Matches(visit));
}

TEST(RbacEngineTest, OnlyAVerifiedCertificateIsAnIdentity) {
  const RbacRule anybody = Rule(rbac::Authenticated{});
  const RbacRule anything = Named(Prefix("spiffe://"));
  Visit visit;
  EXPECT_FALSE(anybody.Matches(visit)) << "plaintext";
  visit.tls.emplace();
  EXPECT_FALSE(anybody.Matches(visit)) << "TLS without a certificate";
  visit.As("spiffe://a");
  EXPECT_TRUE(anybody.Matches(visit));
  EXPECT_TRUE(anything.Matches(visit));
  visit.tls->peer_verified = false;
  EXPECT_FALSE(anybody.Matches(visit)) << "presented, not verified";
  EXPECT_FALSE(anything.Matches(visit));
  EXPECT_FALSE(Rule(rbac::PeerPrincipal{Prefix("spiffe://")}).Matches(visit));
}

TEST(RbacEngineTest, ThePrincipalIsAUriNameADnsNameOrTheSubject) {
  Visit visit;
  visit.As("spiffe://a");
  visit.tls->peer_uri_sans.push_back("spiffe://b");
  visit.tls->peer_dns_sans = {"a.example"};
  visit.tls->peer_subject = "CN=a";
  for (const char* name : {"spiffe://a", "spiffe://b", "a.example", "CN=a"}) {
    EXPECT_TRUE(Named(Exact(name)).Matches(visit)) << name;
  }
  EXPECT_FALSE(Named(Exact("spiffe://c")).Matches(visit));
  EXPECT_TRUE(Rule(rbac::PeerPrincipal{Exact("spiffe://a")}).Matches(visit));
  EXPECT_FALSE(Rule(rbac::PeerPrincipal{Exact("spiffe://b")}).Matches(visit))
      << "the first name is the principal";
}

TEST(RbacEngineTest, TheServerNameIsThatOfTheHandshake) {
  Visit visit;
  const RbacRule rule = Rule(rbac::ServerName{Exact("a.example")});
  EXPECT_FALSE(rule.Matches(visit));
  visit.server_name = "a.example";
  EXPECT_TRUE(rule.Matches(visit));
}

TEST(RbacEngineTest, ActionsDecideWhatAMatchMeans) {
  RbacRules rules;
  rules.policies.emplace_back("first", std::vector{Path("/a")}, std::vector{Always()});
  rules.policies.emplace_back("second one", std::vector{Path("/")}, std::vector{Always()});
  Visit visit;
  visit.request->set_path("/a");
  EXPECT_TRUE(rules.Judge(visit).allowed);
  EXPECT_EQ(rules.Judge(visit).policy->name, "first") << "the first that matches";

  rules.action = RbacAction::kDeny;
  EXPECT_FALSE(rules.Judge(visit).allowed);
  EXPECT_EQ(rules.Judge(visit).denied_details(), "rbac_access_denied_matched_policy[first]");
  visit.request->set_path("/b");
  EXPECT_EQ(rules.Judge(visit).denied_details(), "rbac_access_denied_matched_policy[second_one]");

  rules.action = RbacAction::kLog;
  EXPECT_TRUE(rules.Judge(visit).allowed);
  EXPECT_EQ(rules.Judge(visit).policy->name, "second one");
}

TEST(RbacEngineTest, RulesWithoutPoliciesAllowNothingAndDenyNothing) {
  RbacRules rules;
  const Visit visit;
  EXPECT_FALSE(rules.Judge(visit).allowed);
  EXPECT_EQ(rules.Judge(visit).denied_details(), "rbac_access_denied_matched_policy[none]");
  rules.action = RbacAction::kDeny;
  EXPECT_TRUE(rules.Judge(visit).allowed);
}

}  // namespace
}  // namespace meltemi::proxy
