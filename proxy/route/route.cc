#include "proxy/route/route.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proxy/route/route_index.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;

// What a match reads of the request, taken apart once per request.
struct Target {
  absl::string_view path;   // without query and fragment
  absl::string_view query;  // without "?" and fragment
  bool connect = false;     // plain CONNECT: there is no path
};

Target TakeApart(const http::HeaderMap& request) {
  Target target;
  target.path = request.path();
  target.connect = request.method() == "CONNECT" && request.protocol().empty();
  const size_t end = target.path.find_first_of("?#");
  if (end == absl::string_view::npos) return target;
  if (target.path[end] == '?') {
    target.query = target.path.substr(end + 1);
    target.query = target.query.substr(0, target.query.find('#'));
  }
  target.path = target.path.substr(0, end);
  return target;
}

bool BeginsWith(absl::string_view path, const RouteMatch& match) {
  return match.case_sensitive ? absl::StartsWith(path, match.path)
                              : absl::StartsWithIgnoreCase(path, match.path);
}

bool PathMatches(const RouteMatch& match, const Target& target) {
  if (match.path_kind == RouteMatch::Path::kConnect) return target.connect;
  if (target.connect) return false;
  switch (match.path_kind) {
    case RouteMatch::Path::kPrefix:
      return BeginsWith(target.path, match);
    case RouteMatch::Path::kExact:
      return match.case_sensitive ? target.path == match.path
                                  : absl::EqualsIgnoreCase(target.path, match.path);
    case RouteMatch::Path::kRegex:
      return match.regex->FullMatch(target.path);
    case RouteMatch::Path::kPathSeparatedPrefix:
      return BeginsWith(target.path, match) &&
             (target.path.size() == match.path.size() || target.path[match.path.size()] == '/');
    case RouteMatch::Path::kConnect:
      break;
  }
  return false;
}

bool IsGrpc(const http::HeaderMap& request) {
  absl::string_view type = request.Get(HeaderId::kContentType);
  constexpr absl::string_view kGrpc = "application/grpc";
  return absl::StartsWithIgnoreCase(type, kGrpc) &&
         (type.size() == kGrpc.size() || absl::StrContains("+; ", type.substr(kGrpc.size(), 1)));
}

// Everything but the path.
bool ConditionsMatch(const RouteMatch& match, const Target& target, const http::HeaderMap& request,
                     const MatchContext& context) {
  if (match.fraction_numerator < match.fraction_denominator &&
      context.random % match.fraction_denominator >= match.fraction_numerator) {
    return false;
  }
  if (match.grpc_only && !IsGrpc(request)) return false;
  if (match.tls.has_value() && *match.tls != context.downstream_tls) return false;
  for (const HeaderMatcher& header : match.headers) {
    if (!header.Matches(request)) return false;
  }
  for (const QueryMatcher& query : match.query) {
    if (!query.Matches(target.query)) return false;
  }
  return true;
}

bool HasUpperCase(absl::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

// "host:80" -> "host", "[::1]:80" -> "[::1]"; a bare IPv6 address has no port.
absl::string_view WithoutPort(absl::string_view host) {
  const size_t colon = host.rfind(':');
  if (colon == absl::string_view::npos) return host;
  const absl::string_view port = host.substr(colon + 1);
  if (!std::all_of(port.begin(), port.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return host;
  }
  const absl::string_view name = host.substr(0, colon);
  if (absl::StrContains(name, ":") && !absl::EndsWith(name, "]")) return host;
  return name;
}

}  // namespace

VirtualHost::VirtualHost() = default;
VirtualHost::~VirtualHost() = default;

RouteTable::RouteTable() {
  tls_redirect_.name = "";
  tls_redirect_.action = Route::Action::kRedirect;
  tls_redirect_.redirect.https = true;
}

bool Route::AllowsUpgrade(absl::string_view word,
                          const std::vector<std::string>& listener_words) const {
  const auto has = [&](const std::vector<std::string>& words) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  return has(upgrades) || (has(listener_words) && !has(upgrades_refused));
}

const WeightedCluster& Route::PickCluster(uint64_t random) const {
  if (clusters.size() == 1) return clusters.front();
  // The high bits decide here, the low ones in Fraction::Hit: one random value can serve both.
  uint64_t point =
      static_cast<uint64_t>((static_cast<unsigned __int128>(random) * weight_total) >> 64);
  for (const WeightedCluster& cluster : clusters) {
    if (point < cluster.weight) return cluster;
    point -= cluster.weight;
  }
  return clusters.back();
}

absl::Status RouteTable::AddDomain(absl::string_view domain, const VirtualHost* host) {
  const std::string lower = absl::AsciiStrToLower(domain);
  const auto duplicate = [&] {
    return absl::InvalidArgumentError(absl::StrCat("route table \"", name, "\", virtual host \"",
                                                   host->name, "\": domain \"", domain,
                                                   "\" belongs to another virtual host already"));
  };
  if (lower.empty()) {
    return absl::InvalidArgumentError(absl::StrCat("route table \"", name, "\", virtual host \"",
                                                   host->name, "\": a domain is empty"));
  }
  if (lower == "*") {
    if (any_ != nullptr) return duplicate();
    any_ = host;
    return absl::OkStatus();
  }
  const auto add = [&](Wildcards& wildcards, absl::string_view fixed) {
    auto at = std::find_if(wildcards.begin(), wildcards.end(),
                           [&](const auto& entry) { return entry.first == fixed.size(); });
    if (at == wildcards.end()) at = wildcards.insert(at, {fixed.size(), Domains()});
    return at->second.emplace(std::string(fixed), host).second;
  };
  const absl::string_view text = lower;
  if (absl::StrContains(text.substr(1, text.size() - (text.size() > 1 ? 2 : 1)), "*") ||
      (text.front() == '*' && text.back() == '*')) {
    return absl::InvalidArgumentError(
        absl::StrCat("route table \"", name, "\", virtual host \"", host->name, "\": domain \"",
                     domain, "\": \"*\" may stand only at the beginning or at the end"));
  }
  bool added;
  if (text.front() == '*') {
    added = add(suffixes_, text.substr(1));
  } else if (text.back() == '*') {
    added = add(prefixes_, text.substr(0, text.size() - 1));
  } else {
    added = exact_.emplace(lower, host).second;
  }
  return added ? absl::OkStatus() : duplicate();
}

absl::Status RouteTable::BuildIndex(const std::vector<std::vector<std::string>>& domains) {
  for (size_t i = 0; i < virtual_hosts.size(); ++i) {
    VirtualHost& host = *virtual_hosts[i];
    for (const std::string& domain : domains[i]) {
      if (absl::Status added = AddDomain(domain, &host); !added.ok()) return added;
    }
    for (const std::unique_ptr<Route>& route : host.routes) route->virtual_host = host.name;
    if (host.routes.size() >= RouteIndex::kRoutesMin) {
      host.index = std::make_unique<RouteIndex>(host.routes);
    }
  }
  const auto longest_first = [](const auto& a, const auto& b) { return a.first > b.first; };
  std::sort(suffixes_.begin(), suffixes_.end(), longest_first);
  std::sort(prefixes_.begin(), prefixes_.end(), longest_first);
  return absl::OkStatus();
}

const VirtualHost* RouteTable::FindLowerCase(absl::string_view host) const {
  if (const auto found = exact_.find(host); found != exact_.end()) return found->second;
  // "*" stands for at least one character.
  for (const auto& [length, map] : suffixes_) {
    if (length >= host.size()) continue;
    const auto found = map.find(host.substr(host.size() - length));
    if (found != map.end()) return found->second;
  }
  for (const auto& [length, map] : prefixes_) {
    if (length >= host.size()) continue;
    const auto found = map.find(host.substr(0, length));
    if (found != map.end()) return found->second;
  }
  return any_;
}

const VirtualHost* RouteTable::FindVirtualHost(absl::string_view authority) const {
  if (ignore_port_in_host) authority = WithoutPort(authority);
  if (authority.empty() || (exact_.empty() && suffixes_.empty() && prefixes_.empty())) return any_;
  if (!HasUpperCase(authority)) return FindLowerCase(authority);
  return FindLowerCase(absl::AsciiStrToLower(authority));
}

const Route* RouteTable::Match(const http::HeaderMap& request, const MatchContext& context,
                               const VirtualHost** virtual_host) const {
  absl::string_view authority = request.authority();
  if (context.ignore_port_in_host) authority = WithoutPort(authority);
  const VirtualHost* host = FindVirtualHost(authority);
  if (virtual_host != nullptr) *virtual_host = host;
  if (host == nullptr) return nullptr;
  if (host->require_tls_all && !context.downstream_tls) return &tls_redirect_;
  const Target target = TakeApart(request);
  const auto matches = [&](const Route& route) {
    return PathMatches(route.match, target) &&
           ConditionsMatch(route.match, target, request, context);
  };
  if (host->index == nullptr) {
    for (const std::unique_ptr<Route>& route : host->routes) {
      if (matches(*route)) return route.get();
    }
    return nullptr;
  }
  const Route* chosen = nullptr;
  host->index->ForEachCandidate(target.path, [&](uint32_t position) {
    const Route& route = *host->routes[position];
    if (matches(route)) chosen = &route;
    return chosen != nullptr;
  });
  return chosen;
}

}  // namespace meltemi::proxy
