// Requests of any shape against a table with every kind of match: nothing crashes, and the index of
// a large virtual host chooses what a plain walk over its routes chooses.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/http/header_map.h"
#include "proxy/observe/stream_info.h"
#include "proxy/route/hash.h"
#include "proxy/route/rewrite.h"
#include "proxy/route/route.h"
#include "proxy/route/route_index.h"

namespace meltemi::proxy {
namespace {

std::unique_ptr<Route> MakeRoute(int i) {
  static constexpr const char* kPaths[] = {"/", "/a", "/a/", "/a/b", "/ab", "/A", "", "/a?x"};
  auto route = std::make_unique<Route>();
  route->name = absl::StrCat("r", i);
  route->match.path = kPaths[i % 8];
  route->match.path_kind = static_cast<RouteMatch::Path>(i % 5);
  if (route->match.path_kind == RouteMatch::Path::kRegex) {
    route->match.regex = *Regex::Compile(i % 2 == 0 ? "/a.*" : "/[a-z]+(/[a-z]+)*");
  }
  route->match.case_sensitive = i % 6 != 0;
  if (!route->match.case_sensitive) absl::AsciiStrToLower(&route->match.path);
  if (i % 3 == 0) {
    HeaderMatcher header;
    header.name = i % 2 == 0 ? "x" : "user-agent";
    header.id = http::FindHeaderId(header.name);
    header.kind = static_cast<HeaderMatcher::Kind>(i % 3);
    header.string.text = "1";
    header.string.kind = static_cast<StringMatcher::Kind>(i % 4);
    header.range_end = 10;
    route->match.headers.push_back(header);
  }
  if (i % 4 == 0) {
    QueryMatcher query;
    query.name = "q";
    query.present_only = i % 8 == 0;
    query.string.text = "1";
    route->match.query.push_back(query);
  }
  route->clusters.push_back({.cluster = "c"});
  route->weight_total = 1;
  if (i % 2 == 0) {
    route->rewrite.prefix = "/new";
    route->redirect.prefix_rewrite = "/new";
  } else {
    route->rewrite.path_regex = RegexRewrite{*Regex::Compile("a(.)"), "\\1b"};
    route->redirect.strip_query = true;
  }
  return route;
}

std::shared_ptr<RouteTable> MakeTable(int routes) {
  auto table = std::make_shared<RouteTable>();
  for (int h = 0; h < 2; ++h) {
    auto host = std::make_unique<VirtualHost>();
    host->name = absl::StrCat("h", h);
    for (int i = 0; i < routes; ++i) host->routes.push_back(MakeRoute(i + h));
    table->virtual_hosts.push_back(std::move(host));
  }
  if (!table->BuildIndex({{"a.com", "*.com", "a.*"}, {"*"}}).ok()) abort();
  return table;
}

struct Tables {
  std::shared_ptr<RouteTable> indexed = MakeTable(80), walk = MakeTable(80);
  Tables() {
    for (auto& host : walk->virtual_hosts) host->index = nullptr;
  }
};

}  // namespace
}  // namespace meltemi::proxy

// Lines: method, authority, path, then "name: value" each.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace meltemi::proxy;  // NOLINT: the entry point stands outside
  namespace http = meltemi::http;
  static const Tables* const tables = new Tables();
  const absl::string_view text(reinterpret_cast<const char*>(data), size);
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  http::HeaderMapPtr request = http::HeaderMap::New();
  request->set_method(lines[0]);
  if (lines.size() > 1) request->set_authority(lines[1]);
  if (lines.size() > 2) request->set_path(lines[2]);
  for (size_t i = 3; i < lines.size() && i < 40; ++i) {
    const std::pair<absl::string_view, absl::string_view> field =
        absl::StrSplit(lines[i], absl::MaxSplits(": ", 1));
    if (field.first.empty() || field.first[0] == ':') continue;
    request->Add(absl::AsciiStrToLower(field.first), field.second);
  }
  MatchContext context;
  context.ignore_port_in_host = size % 2 == 0;
  const VirtualHost *one = nullptr, *two = nullptr;
  const Route* chosen = tables->indexed->Match(*request, context, &one);
  const Route* expected = tables->walk->Match(*request, context, &two);
  if ((chosen == nullptr) != (expected == nullptr)) abort();
  if (chosen == nullptr) return 0;
  if (chosen->name != expected->name || one->name != two->name) abort();

  HashPolicy header, cookie, query;
  header.name = "x";
  cookie.kind = HashPolicy::Kind::kCookie;
  cookie.name = "c";
  cookie.cookie_ttl = meltemi::seconds(1);
  query.kind = HashPolicy::Kind::kQueryParameter;
  query.name = "q";
  ComputeHash({header, cookie, query}, request.get(), {}, {});
  RedirectLocation(*chosen, *request);
  ShadowAuthority(request->authority());
  ApplyRequestChanges(*chosen, chosen->clusters[0], *request, StreamInfo());
  return 0;
}
