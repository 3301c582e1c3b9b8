#include "proxy/route/route.h"

#include <map>

#include "absl/strings/str_cat.h"
#include "base/random/random.h"
#include "gtest/gtest.h"
#include "proxy/route/route_index.h"
#include "proxy/route/route_test_builder.h"

namespace meltemi::proxy {
namespace {

// One virtual host per domain, named after it, each with a route of the same name.
std::shared_ptr<RouteTable> TableOf(const std::vector<std::string>& domains) {
  TableBuilder builder;
  for (const std::string& domain : domains)
    builder.Host(domain, {domain}).Route(Prefix("/"), domain);
  return builder.Build();
}

TEST(DomainTest, ExactThenLongestSuffixThenLongestPrefixThenAny) {
  const auto table =
      TableOf({"*", "www.foo.com", "*.foo.com", "*-bar.foo.com", "foo.*", "foo.b*", "*.com"});
  const std::map<std::string, std::string> expected = {
      {"www.foo.com", "www.foo.com"},
      {"a.foo.com", "*.foo.com"},
      {"baz-bar.foo.com", "*-bar.foo.com"},
      {"x.com", "*.com"},
      {"foo.com", "*.com"},  // a suffix wildcard wins over a prefix wildcard
      {"foo.org", "foo.*"},
      {"foo.bar", "foo.b*"},
      {"other.org", "*"},
      {"", "*"},
      {".foo.com", "*.com"},  // "*" stands for at least one character
      {"foo.", "*"},
  };
  for (const auto& [authority, domain] : expected) {
    EXPECT_EQ(Chosen(*table, *Get(authority, "/")), domain) << authority;
  }
}

TEST(DomainTest, CaseDoesNotMatter) {
  const auto table = TableOf({"Flaskapp.Default.SVC", "*.Foo.com"});
  EXPECT_EQ(Chosen(*table, *Get("FLASKAPP.default.svc", "/")), "Flaskapp.Default.SVC");
  EXPECT_EQ(Chosen(*table, *Get("A.FOO.COM", "/")), "*.Foo.com");
}

TEST(DomainTest, PortsCountUnlessIgnored) {
  const auto table = TableOf({"a.com", "a.com:8080", "[::1]"});
  EXPECT_EQ(Chosen(*table, *Get("a.com:8080", "/")), "a.com:8080");
  EXPECT_EQ(Chosen(*table, *Get("a.com:9090", "/")), "none");
  MatchContext context;
  context.ignore_port_in_host = true;
  EXPECT_EQ(Chosen(*table, *Get("a.com:9090", "/"), context), "a.com");
  EXPECT_EQ(Chosen(*table, *Get("[::1]:80", "/"), context), "[::1]");
  EXPECT_EQ(Chosen(*table, *Get("[::1]", "/"), context), "[::1]");
}

TEST(DomainTest, TheTableItselfMayIgnorePorts) {
  TableBuilder builder;
  builder.Host("h", {"a.com"}).Route(Prefix("/"), "r");
  builder.table().ignore_port_in_host = true;
  EXPECT_EQ(Chosen(*builder.Build(), *Get("a.com:9090", "/")), "r");
}

TEST(DomainTest, ADomainTwiceIsAnErrorThatNamesIt) {
  TableBuilder builder;
  builder.table().name = "80";
  const absl::Status status =
      builder.Host("one", {"a.com"}).Host("two", {"b.com", "A.com"}).TryBuild();
  EXPECT_EQ(status.message(),
            "route table \"80\", virtual host \"two\": domain \"A.com\" belongs to another virtual "
            "host already");
  EXPECT_FALSE(TableBuilder().Host("one", {"*"}).Host("two", {"*"}).TryBuild().ok());
  EXPECT_FALSE(TableBuilder().Host("one", {"*.a"}).Host("two", {"*.a"}).TryBuild().ok());
}

TEST(DomainTest, WildcardsInTheMiddleAndEmptyDomainsAreErrors) {
  for (const char* domain : {"", "a.*.com", "*a*", "**"}) {
    EXPECT_FALSE(TableBuilder().Host("h", {domain}).TryBuild().ok()) << domain;
  }
}

TEST(MatchTest, NoVirtualHostIsTold) {
  const auto table = TableOf({"a.com"});
  const VirtualHost* host = table->virtual_hosts[0].get();
  EXPECT_EQ(table->Match(*Get("b.com", "/"), {}, &host), nullptr);
  EXPECT_EQ(host, nullptr);
}

TEST(MatchTest, TheFirstRouteThatMatchesWins) {
  const auto table =
      TableBuilder()
          .Host("h", {"*"})
          .Route(With(Prefix("/"), HeaderIs("lab", StringMatcher::Kind::kExact, "canary")), "v2")
          .Route(Prefix("/"), "v1")
          .Build();
  EXPECT_EQ(Chosen(*table, *Get("x", "/env/NAME", {{"lab", "canary"}})), "v2");
  EXPECT_EQ(Chosen(*table, *Get("x", "/env/NAME")), "v1");
  EXPECT_EQ(Chosen(*table, *Get("x", "/env/NAME", {{"lab", "stable"}})), "v1");
}

struct PathCase {
  RouteMatch match;
  std::string path;
  bool matches;
};

TEST(MatchTest, Paths) {
  RouteMatch insensitive = Prefix("/api");
  insensitive.case_sensitive = false;
  RouteMatch insensitive_exact = Exact("/api");
  insensitive_exact.case_sensitive = false;
  const std::vector<PathCase> cases = {
      {Prefix("/api"), "/api", true},
      {Prefix("/api"), "/apix", true},
      {Prefix("/api"), "/API", false},
      {Prefix("/"), "*", false},
      {Prefix("/api?x"), "/api?x", false},  // the query is no part of the path
      {Exact("/api"), "/api", true},
      {Exact("/api"), "/api?a=b", true},
      {Exact("/api"), "/api#top", true},
      {Exact("/api"), "/api/", false},
      {SeparatedPrefix("/api"), "/api", true},
      {SeparatedPrefix("/api"), "/api/v1", true},
      {SeparatedPrefix("/api"), "/api?q", true},
      {SeparatedPrefix("/api"), "/apiv1", false},
      {PathRegex("/b[io]t"), "/bit", true},
      {PathRegex("/b[io]t"), "/bot?x=1", true},
      {PathRegex("/b[io]t"), "/bite", false},  // the whole path must match
      {insensitive, "/API/v1", true},
      {insensitive_exact, "/Api", true},
      {insensitive_exact, "/Apis", false},
  };
  for (const PathCase& c : cases) {
    const auto table = TableBuilder().Host("h", {"*"}).Route(c.match, "r").Build();
    EXPECT_EQ(Chosen(*table, *Get("x", c.path)), c.matches ? "r" : "none")
        << c.match.path << " against " << c.path;
  }
}

TEST(MatchTest, ConnectHasNoPath) {
  const auto table =
      TableBuilder().Host("h", {"*"}).Route(Prefix("/"), "path").Route(Connect(), "tunnel").Build();
  EXPECT_EQ(Chosen(*table, *Request("CONNECT", "a:80", "")), "tunnel");
  EXPECT_EQ(Chosen(*table, *Get("a", "/")), "path");
}

TEST(MatchTest, GrpcOnly) {
  RouteMatch match = Prefix("/");
  match.grpc_only = true;
  const auto table =
      TableBuilder().Host("h", {"*"}).Route(match, "grpc").Route(Prefix("/"), "rest").Build();
  EXPECT_EQ(Chosen(*table, *Get("x", "/", {{"content-type", "application/grpc+proto"}})), "grpc");
  EXPECT_EQ(Chosen(*table, *Get("x", "/", {{"content-type", "application/grpc-web"}})), "rest");
  EXPECT_EQ(Chosen(*table, *Get("x", "/")), "rest");
}

TEST(MatchTest, AShareOfTheRequests) {
  RouteMatch match = Prefix("/");
  match.fraction_numerator = 25;
  const auto table =
      TableBuilder().Host("h", {"*"}).Route(match, "some").Route(Prefix("/"), "rest").Build();
  int some = 0;
  for (uint64_t i = 0; i < 100; ++i) {
    MatchContext context;
    context.random = i;
    some += Chosen(*table, *Get("x", "/"), context) == "some" ? 1 : 0;
  }
  EXPECT_EQ(some, 25);
}

TEST(MatchTest, TlsWantedOrNot) {
  RouteMatch match = Prefix("/");
  match.tls = true;
  const auto table =
      TableBuilder().Host("h", {"*"}).Route(match, "tls").Route(Prefix("/"), "plain").Build();
  MatchContext context;
  EXPECT_EQ(Chosen(*table, *Get("x", "/"), context), "plain");
  context.downstream_tls = true;
  EXPECT_EQ(Chosen(*table, *Get("x", "/"), context), "tls");
}

TEST(MatchTest, AVirtualHostThatRequiresTlsRedirects) {
  TableBuilder builder;
  builder.Host("h", {"*"}).Route(Prefix("/"), "r");
  builder.table().virtual_hosts[0]->require_tls_all = true;
  const auto table = builder.Build();
  const VirtualHost* host = nullptr;
  const Route* route = table->Match(*Get("x", "/"), {}, &host);
  ASSERT_NE(route, nullptr);
  EXPECT_EQ(route->action, Route::Action::kRedirect);
  EXPECT_TRUE(route->redirect.https);
  MatchContext context;
  context.downstream_tls = true;
  EXPECT_EQ(Chosen(*table, *Get("x", "/"), context), "r");
}

// The index must never change which route is chosen: a large table against the plain walk.
TEST(RouteIndexTest, ChoosesWhatThePlainWalkChooses) {
  FastRandom random(7);
  const std::vector<std::string> parts = {"", "a", "b", "aa", "ab", "/", "a/b"};
  const auto path = [&] {
    std::string text = "/";
    for (uint64_t i = random.Below(5); i > 0; --i) text += parts[random.Below(parts.size())];
    return text;
  };
  for (int round = 0; round < 60; ++round) {
    TableBuilder indexed, plain;
    indexed.Host("h", {"*"});
    plain.Host("h", {"*"});
    const int count = static_cast<int>(RouteIndex::kRoutesMin + random.Below(60));
    for (int i = 0; i < count; ++i) {
      RouteMatch match;
      switch (random.Below(5)) {
        case 0:
          match = Exact(path());
          break;
        case 1:
          match = Prefix(path());
          break;
        case 2:
          match = SeparatedPrefix(path());
          break;
        case 3: {
          static const char* const kEnds[] = {"[ab]?", "b*", "|/a",    "(a|b)",
                                              ".*",    "",   "a{0,2}", "+"};
          const std::string start = random.Below(6) == 0 ? "(?i)" + path() : path();
          match = PathRegex(start + kEnds[random.Below(std::size(kEnds))]);
          break;
        }
        default:
          match = Prefix(path());
          match.case_sensitive = false;
          break;
      }
      if (random.Below(3) == 0) {
        match =
            With(match, HeaderIs("x", StringMatcher::Kind::kExact, absl::StrCat(random.Below(2))));
      }
      indexed.Route(match, absl::StrCat("r", i));
      plain.Route(match, absl::StrCat("r", i));
    }
    const auto with_index = indexed.Build(), walk = plain.Build();
    ASSERT_NE(with_index->virtual_hosts[0]->index, nullptr);
    walk->virtual_hosts[0]->index = nullptr;
    for (int i = 0; i < 200; ++i) {
      std::string target = path();
      if (random.Below(4) == 0) target += "?q=/a";
      const auto request = Get("h", target, {{"x", absl::StrCat(random.Below(2))}});
      ASSERT_EQ(Chosen(*with_index, *request), Chosen(*walk, *request)) << target;
    }
  }
}

TEST(PickClusterTest, FollowsTheWeights) {
  Route route;
  route.clusters.push_back({.cluster = "v1", .weight = 70});
  route.clusters.push_back({.cluster = "v2", .weight = 30});
  route.clusters.push_back({.cluster = "off", .weight = 0});
  route.weight_total = 100;
  FastRandom random(11);
  std::map<std::string, int> hits;
  for (int i = 0; i < 100000; ++i) ++hits[route.PickCluster(random.Next()).cluster];
  EXPECT_NEAR(hits["v1"], 70000, 800);  // more than five standard deviations
  EXPECT_NEAR(hits["v2"], 30000, 800);
  EXPECT_EQ(hits["off"], 0);
}

TEST(UpgradeTest, TheRouteOverridesTheListener) {
  Route route;
  EXPECT_TRUE(route.AllowsUpgrade("websocket", {"websocket"}));
  EXPECT_FALSE(route.AllowsUpgrade("websocket", {}));
  route.upgrades = {"websocket"};
  EXPECT_TRUE(route.AllowsUpgrade("websocket", {}));
  EXPECT_FALSE(route.AllowsUpgrade("connect", {}));
  route.upgrades = {};
  route.upgrades_refused = {"websocket"};
  EXPECT_FALSE(route.AllowsUpgrade("websocket", {"websocket"}));
}

}  // namespace
}  // namespace meltemi::proxy
