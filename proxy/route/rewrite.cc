#include "proxy/route/rewrite.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proxy/observe/stream_info.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;
using http::HeaderMap;

absl::string_view WithoutQuery(absl::string_view path) {
  return path.substr(0, path.find_first_of("?#"));
}

// How much of the path the route's match stands for: what a prefix rewrite replaces.
size_t MatchedBytes(const RouteMatch& match, absl::string_view path) {
  switch (match.path_kind) {
    case RouteMatch::Path::kPrefix:
    case RouteMatch::Path::kPathSeparatedPrefix:
    case RouteMatch::Path::kExact:
      return match.path.size();
    case RouteMatch::Path::kRegex:
    case RouteMatch::Path::kConnect:
      return WithoutQuery(path).size();
  }
  return 0;
}

std::string ReplaceFront(absl::string_view path, size_t count, absl::string_view front) {
  return absl::StrCat(front, path.substr(std::min(count, path.size())));
}

void SetAuthority(http::HeaderMap& request, absl::string_view authority, bool keep_forwarded_host) {
  const absl::string_view before = request.authority();
  if (keep_forwarded_host && !before.empty()) {
    const absl::string_view list = request.Get(HeaderId::kXForwardedHost);
    if (list.empty()) {
      request.Set(HeaderId::kXForwardedHost, before);
    } else if (list != before && !absl::EndsWith(list, absl::StrCat(",", before))) {
      request.Set(HeaderId::kXForwardedHost, absl::StrCat(list, ",", before));
    }
  }
  request.set_authority(authority);
}

absl::string_view RequestScheme(const HeaderMap& request) {
  const absl::string_view forwarded = request.Get(HeaderId::kXForwardedProto);
  if (!forwarded.empty()) return forwarded;
  return request.scheme().empty() ? absl::string_view("http") : request.scheme();
}

// The request's authority, less the port when another one is given or it is the old scheme's
// default.
absl::string_view RedirectHost(const HeaderMap& request, absl::string_view new_scheme,
                               bool new_port) {
  const absl::string_view host = request.authority();
  size_t colon = host.rfind(':');
  if (absl::StartsWith(host, "[")) {
    const size_t bracket = host.rfind("]:");
    colon = bracket == absl::string_view::npos ? bracket : bracket + 1;
  }
  if (colon == absl::string_view::npos) return host;
  const absl::string_view port = host.substr(colon);
  const absl::string_view old_scheme = RequestScheme(request);
  bool drop = new_port;
  if (new_scheme != old_scheme) {
    drop |= (old_scheme == "https" && port == ":443") || (old_scheme == "http" && port == ":80");
  }
  return drop ? host.substr(0, colon) : host;
}

std::string RedirectPath(const Route& route, absl::string_view path) {
  const RedirectAction& redirect = route.redirect;
  std::string result;
  bool strip = redirect.strip_query;
  if (!redirect.path.empty()) {
    result = redirect.path;
    if (absl::StrContains(redirect.path, "?")) {
      strip = false;  // the configured query wins over the request's and stays
    } else if (const size_t query = path.find('?'); query != absl::string_view::npos) {
      absl::StrAppend(&result, path.substr(query));
    }
  } else if (!redirect.prefix_rewrite.empty()) {
    result = ReplaceFront(path, MatchedBytes(route.match, path), redirect.prefix_rewrite);
  } else if (redirect.regex_rewrite.has_value()) {
    const absl::string_view bare = WithoutQuery(path);
    result = ReplaceFront(
        path, bare.size(),
        redirect.regex_rewrite->pattern->ReplaceAll(bare, redirect.regex_rewrite->substitution));
  } else {
    result = std::string(path);
  }
  if (strip) result.resize(std::min(result.size(), result.find('?')));
  return result;
}

}  // namespace

void RewritePath(const Route& route, HeaderMap& request, bool suppress_envoy_headers) {
  const Rewrite& rewrite = route.rewrite;
  const absl::string_view path = request.path();
  std::string changed;
  if (rewrite.prefix.has_value()) {
    changed = ReplaceFront(path, MatchedBytes(route.match, path), *rewrite.prefix);
  } else if (rewrite.path_regex.has_value()) {
    const absl::string_view bare = WithoutQuery(path);
    changed = ReplaceFront(
        path, bare.size(),
        rewrite.path_regex->pattern->ReplaceAll(bare, rewrite.path_regex->substitution));
  } else if (rewrite.full_path.has_value()) {
    changed = ReplaceFront(path, WithoutQuery(path).size(), *rewrite.full_path);
  } else {
    return;
  }
  if (!suppress_envoy_headers) request.Set(HeaderId::kXEnvoyOriginalPath, path);
  request.set_path(changed);
}

void RewriteAuthority(const Route& route, const WeightedCluster& cluster, HeaderMap& request) {
  const Rewrite& rewrite = route.rewrite;
  if (!cluster.host_rewrite.empty()) SetAuthority(request, cluster.host_rewrite, false);
  if (rewrite.authority.has_value()) {
    SetAuthority(request, *rewrite.authority, rewrite.append_x_forwarded_host);
  } else if (!rewrite.authority_header.empty()) {
    const absl::string_view value = request.Get(rewrite.authority_header);
    if (!value.empty()) SetAuthority(request, value, rewrite.append_x_forwarded_host);
  } else if (rewrite.authority_path_regex.has_value()) {
    SetAuthority(request,
                 rewrite.authority_path_regex->pattern->ReplaceAll(
                     WithoutQuery(request.path()), rewrite.authority_path_regex->substitution),
                 rewrite.append_x_forwarded_host);
  }
}

void RewriteAutoAuthority(const Route& route, absl::string_view hostname, HeaderMap& request) {
  if (!route.rewrite.auto_authority || hostname.empty() || hostname == request.authority()) return;
  SetAuthority(request, hostname, route.rewrite.append_x_forwarded_host);
}

void ApplyRequestChanges(const Route& route, const WeightedCluster& cluster, HeaderMap& request,
                         const StreamInfo& info, bool suppress_envoy_headers) {
  if (!cluster.request_ops.empty()) cluster.request_ops.Apply(request, &request, nullptr, info);
  for (const HeaderOps* ops : route.request_ops) ops->Apply(request, &request, nullptr, info);
  RewriteAuthority(route, cluster, request);
  RewritePath(route, request, suppress_envoy_headers);
}

void ApplyResponseChanges(const Route& route, const WeightedCluster* cluster,
                          const HeaderMap& request, HeaderMap& response, const StreamInfo& info) {
  if (cluster != nullptr && !cluster->response_ops.empty()) {
    cluster->response_ops.Apply(response, &request, &response, info);
  }
  for (const HeaderOps* ops : route.response_ops) ops->Apply(response, &request, &response, info);
}

std::string RedirectLocation(const Route& route, const HeaderMap& request) {
  const RedirectAction& redirect = route.redirect;
  absl::string_view scheme = request.scheme().empty() ? "http" : request.scheme();
  if (!redirect.scheme.empty()) {
    scheme = redirect.scheme;
  } else if (redirect.https) {
    scheme = "https";
  }
  const bool new_port = redirect.port != 0;
  const absl::string_view host =
      redirect.host.empty() ? RedirectHost(request, scheme, new_port) : redirect.host;
  return absl::StrCat(scheme, "://", host, new_port ? absl::StrCat(":", redirect.port) : "",
                      RedirectPath(route, request.path()));
}

std::string ShadowAuthority(absl::string_view authority) {
  size_t colon = authority.rfind(':');
  if (absl::StartsWith(authority, "[") && absl::EndsWith(authority, "]")) {
    colon = absl::string_view::npos;
  }
  return absl::StrCat(authority.substr(0, colon), "-shadow",
                      colon == absl::string_view::npos ? "" : authority.substr(colon));
}

}  // namespace meltemi::proxy
