#include "proxy/route/rewrite.h"

#include "gtest/gtest.h"
#include "proxy/observe/stream_info.h"
#include "proxy/route/route_test_builder.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;

Route RouteWith(RouteMatch match) {
  Route route;
  route.match = std::move(match);
  route.clusters.push_back({.cluster = "c"});
  route.weight_total = 1;
  return route;
}

RegexRewrite Rewriting(const std::string& pattern, std::string substitution) {
  return {*Regex::Compile(pattern), std::move(substitution)};
}

std::string Rewritten(const Route& route, absl::string_view path) {
  const auto request = Get("a.com", path);
  RewritePath(route, *request);
  EXPECT_EQ(request->Get(HeaderId::kXEnvoyOriginalPath), path);
  return std::string(request->path());
}

TEST(RewritePathTest, PrefixKeepsTheRestAndTheQuery) {
  Route route = RouteWith(Prefix("/old"));
  route.rewrite.prefix = "/new";
  EXPECT_EQ(Rewritten(route, "/old/a?b=/old"), "/new/a?b=/old");
  EXPECT_EQ(Rewritten(route, "/old"), "/new");
}

TEST(RewritePathTest, PrefixOfAnExactOrRegexMatchReplacesThePath) {
  Route exact = RouteWith(Exact("/old"));
  exact.rewrite.prefix = "/";
  EXPECT_EQ(Rewritten(exact, "/old?x"), "/?x");
  Route regex = RouteWith(PathRegex("/o.*"));
  regex.rewrite.prefix = "/new";
  EXPECT_EQ(Rewritten(regex, "/old/deep?x"), "/new?x");
}

TEST(RewritePathTest, RegexSeesThePathWithoutTheQuery) {
  Route route = RouteWith(Prefix("/"));
  route.rewrite.path_regex = Rewriting("^/service/([^/]+)(/.*)$", "\\2/instance/\\1");
  EXPECT_EQ(Rewritten(route, "/service/foo/v1/api?q=1"), "/v1/api/instance/foo?q=1");
  route.rewrite.path_regex = Rewriting("one", "two");
  EXPECT_EQ(Rewritten(route, "/xxx/one/yyy/one/zzz?one"), "/xxx/two/yyy/two/zzz?one");
}

TEST(RewritePathTest, NothingToDoLeavesNoTrace) {
  const auto request = Get("a.com", "/x");
  RewritePath(RouteWith(Prefix("/")), *request);
  EXPECT_EQ(request->path(), "/x");
  EXPECT_FALSE(request->Has(HeaderId::kXEnvoyOriginalPath));
}

TEST(RewriteAuthorityTest, LiteralHeaderAndRegex) {
  Route route = RouteWith(Prefix("/"));
  route.rewrite.authority = "b.com";
  auto request = Get("a.com", "/x");
  RewriteAuthority(route, route.clusters[0], *request);
  EXPECT_EQ(request->authority(), "b.com");
  EXPECT_FALSE(request->Has(HeaderId::kXForwardedHost));

  route.rewrite.authority.reset();
  route.rewrite.authority_header = "x-host";
  request = Get("a.com", "/x", {{"x-host", "c.com"}});
  RewriteAuthority(route, route.clusters[0], *request);
  EXPECT_EQ(request->authority(), "c.com");

  route.rewrite.authority_header = "";
  route.rewrite.authority_path_regex = Rewriting("^/(.+)/.+$", "\\1");
  request = Get("a.com", "/envoyproxy.io/some/path?x/y");
  RewriteAuthority(route, route.clusters[0], *request);
  EXPECT_EQ(request->authority(), "envoyproxy.io/some");
}

TEST(RewriteAuthorityTest, ForwardedHostRemembersOnce) {
  Route route = RouteWith(Prefix("/"));
  route.rewrite.authority = "b.com";
  route.rewrite.append_x_forwarded_host = true;
  const auto request = Get("a.com", "/x", {{"x-forwarded-host", "first.com"}});
  RewriteAuthority(route, route.clusters[0], *request);
  EXPECT_EQ(request->Get(HeaderId::kXForwardedHost), "first.com,a.com");
  request->set_authority("a.com");
  RewriteAuthority(route, route.clusters[0], *request);
  EXPECT_EQ(request->Get(HeaderId::kXForwardedHost), "first.com,a.com");
}

TEST(RewriteAuthorityTest, AutomaticWaitsForTheHost) {
  Route route = RouteWith(Prefix("/"));
  route.rewrite.auto_authority = true;
  const auto request = Get("a.com", "/x");
  RewriteAuthority(route, route.clusters[0], *request);
  EXPECT_EQ(request->authority(), "a.com");
  RewriteAutoAuthority(route, "", *request);
  EXPECT_EQ(request->authority(), "a.com");
  RewriteAutoAuthority(route, "pod-1.example", *request);
  EXPECT_EQ(request->authority(), "pod-1.example");
}

TEST(ApplyRequestChangesTest, ClusterThenRouteThenVirtualHost) {
  Route route = RouteWith(Prefix("/a"));
  route.rewrite.prefix = "/b";
  route.clusters[0].request_ops.add.push_back({.name = "x", .literal = "cluster"});
  route.own_request_ops.add.push_back({.name = "x", .literal = "route"});
  HeaderOps host_ops;
  host_ops.add.push_back({.name = "x", .literal = "host"});
  host_ops.remove.push_back("secret");
  route.request_ops = {&route.own_request_ops, &host_ops};
  const auto request = Get("a.com", "/a/1", {{"secret", "s"}});
  StreamInfo info;
  ApplyRequestChanges(route, route.clusters[0], *request, info);
  std::string scratch;
  bool present = false;
  EXPECT_EQ(request->GetJoined("x", &scratch, &present), "cluster,route,host");
  EXPECT_EQ(request->Find("secret"), nullptr);
  EXPECT_EQ(request->path(), "/b/1");
}

struct RedirectCase {
  std::string what;
  RedirectAction redirect;
  std::string authority, path, forwarded_proto;
  std::string location;
};

TEST(RedirectTest, Locations) {
  RedirectAction query_wins{.path = "/new?own=1", .strip_query = true};
  const std::vector<RedirectCase> cases = {
      {"nothing", {}, "a.com:8080", "/x?y=1", "", "http://a.com:8080/x?y=1"},
      {"https drops port 80", {.https = true}, "a.com:80", "/x", "http", "https://a.com/x"},
      {"https keeps another port", {.https = true}, "a.com:8080", "/x", "", "https://a.com:8080/x"},
      {"https that came as https keeps 443",
       {.https = true},
       "a.com:443",
       "/x",
       "https",
       "https://a.com:443/x"},
      {"http drops 443", {.scheme = "http"}, "a.com:443", "/x", "https", "http://a.com/x"},
      {"a port replaces the port", {.port = 8443}, "a.com:80", "/x", "", "http://a.com:8443/x"},
      {"IPv6 host", {.port = 8443}, "[::1]:80", "/x", "", "http://[::1]:8443/x"},
      {"IPv6 host without port", {.https = true}, "[fe80::1]", "/x", "", "https://[fe80::1]/x"},
      {"a host replaces host and port", {.host = "b.com"}, "a.com:80", "/x", "", "http://b.com/x"},
      {"a path keeps the query", {.path = "/new"}, "a.com", "/x?y=1", "", "http://a.com/new?y=1"},
      {"the query stripped",
       {.path = "/new", .strip_query = true},
       "a.com",
       "/x?y=1",
       "",
       "http://a.com/new"},
      {"a configured query wins and stays", query_wins, "a.com", "/x?y=1", "",
       "http://a.com/new?own=1"},
      {"a prefix", {.prefix_rewrite = "/b"}, "a.com", "/old/1?y=1", "", "http://a.com/b/1?y=1"},
      {"a regex",
       {.regex_rewrite = Rewriting("^/old/(.*)$", "/n/\\1")},
       "a.com",
       "/old/1?y=/old/",
       "",
       "http://a.com/n/1?y=/old/"},
  };
  for (const RedirectCase& c : cases) {
    Route route = RouteWith(Prefix("/old"));
    route.action = Route::Action::kRedirect;
    route.redirect = c.redirect;
    const auto request = Get(c.authority, c.path);
    if (!c.forwarded_proto.empty()) request->Set(HeaderId::kXForwardedProto, c.forwarded_proto);
    EXPECT_EQ(RedirectLocation(route, *request), c.location) << c.what;
  }
}

TEST(ShadowTest, TheNameIsMarkedNotThePort) {
  EXPECT_EQ(ShadowAuthority("a.com"), "a.com-shadow");
  EXPECT_EQ(ShadowAuthority("a.com:80"), "a.com-shadow:80");
  EXPECT_EQ(ShadowAuthority("[::1]"), "[::1]-shadow");
}

}  // namespace
}  // namespace meltemi::proxy
