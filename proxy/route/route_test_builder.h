// Route tables for tests, without protobuf: TableBuilder().Host("a", {"a.com"}).Route(Prefix("/"),
// "c").
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/http/header_map.h"
#include "gtest/gtest.h"
#include "proxy/route/route.h"

namespace meltemi::proxy {

inline RouteMatch Prefix(std::string path) {
  RouteMatch match;
  match.path = std::move(path);
  return match;
}
inline RouteMatch Exact(std::string path) {
  RouteMatch match = Prefix(std::move(path));
  match.path_kind = RouteMatch::Path::kExact;
  return match;
}
inline RouteMatch SeparatedPrefix(std::string path) {
  RouteMatch match = Prefix(std::move(path));
  match.path_kind = RouteMatch::Path::kPathSeparatedPrefix;
  return match;
}
inline RouteMatch PathRegex(const std::string& pattern) {
  RouteMatch match;
  match.path_kind = RouteMatch::Path::kRegex;
  match.regex = *Regex::Compile(pattern);
  return match;
}
inline RouteMatch Connect() {
  RouteMatch match;
  match.path_kind = RouteMatch::Path::kConnect;
  return match;
}
inline HeaderMatcher HeaderIs(std::string name, StringMatcher::Kind kind, std::string text) {
  HeaderMatcher matcher;
  matcher.name = std::move(name);
  matcher.id = http::FindHeaderId(matcher.name);
  matcher.kind = HeaderMatcher::Kind::kString;
  matcher.string.kind = kind;
  matcher.string.text = std::move(text);
  return matcher;
}
inline RouteMatch With(RouteMatch match, HeaderMatcher header) {
  match.headers.push_back(std::move(header));
  return match;
}

class TableBuilder {
 public:
  TableBuilder() : table_(std::make_shared<RouteTable>()) {}
  TableBuilder& Host(std::string name, std::vector<std::string> domains) {
    table_->virtual_hosts.push_back(std::make_unique<VirtualHost>());
    table_->virtual_hosts.back()->name = std::move(name);
    domains_.push_back(std::move(domains));
    return *this;
  }
  // The route's name is its cluster's.
  TableBuilder& Route(RouteMatch match, std::string cluster) {
    auto route = std::make_unique<proxy::Route>();
    route->name = cluster;
    route->match = std::move(match);
    route->clusters.push_back({.cluster = std::move(cluster)});
    route->weight_total = 1;
    table_->virtual_hosts.back()->routes.push_back(std::move(route));
    return *this;
  }
  RouteTable& table() { return *table_; }
  absl::Status TryBuild() { return table_->BuildIndex(domains_); }
  std::shared_ptr<RouteTable> Build() {
    EXPECT_TRUE(TryBuild().ok());
    return table_;
  }

 private:
  std::shared_ptr<RouteTable> table_;
  std::vector<std::vector<std::string>> domains_;
};

inline http::HeaderMapPtr Request(
    absl::string_view method, absl::string_view authority, absl::string_view path,
    const std::vector<std::pair<std::string, std::string>>& headers = {}) {
  http::HeaderMapPtr request = http::HeaderMap::New();
  request->set_method(method);
  request->set_scheme("http");
  request->set_authority(authority);
  request->set_path(path);
  for (const auto& [name, value] : headers) request->Add(name, value);
  return request;
}
inline http::HeaderMapPtr Get(
    absl::string_view authority, absl::string_view path,
    const std::vector<std::pair<std::string, std::string>>& headers = {}) {
  return Request("GET", authority, path, headers);
}

// The name of the route that is chosen; "none".
inline std::string Chosen(const RouteTable& table, const http::HeaderMap& request,
                          const MatchContext& context = {}) {
  const VirtualHost* host = nullptr;
  const Route* route = table.Match(request, context, &host);
  return route == nullptr ? "none" : route->name;
}

}  // namespace meltemi::proxy
