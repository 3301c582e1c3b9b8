#include "proxy/config/compile/route_action.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "envoy/config/core/v3/base.pb.h"
#include "envoy/config/route/v3/route_components.pb.h"
#include "google/protobuf/duration.pb.h"
#include "proxy/config/compile/context.h"
#include "proxy/config/compile/filters.h"
#include "proxy/config/compile/header_ops.h"
#include "proxy/config/compile/matchers.h"
#include "proxy/config/compile/try.h"
#include "proxy/config/compile/unsupported.h"

namespace meltemi::proxy {
namespace {

namespace route_v3 = envoy::config::route::v3;

absl::Status Wrong(absl::string_view where, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", why));
}

absl::StatusOr<WeightedCluster> CompileClusterWeight(
    const route_v3::WeightedCluster::ClusterWeight& weight, absl::string_view where,
    const CompileContext& context) {
  RETURN_IF_ERROR(CheckSupported(
      weight, where,
      {"name", "cluster_header", "weight.**", "request_headers_to_add", "request_headers_to_remove",
       "response_headers_to_add", "response_headers_to_remove", "typed_per_filter_config",
       "host_rewrite_literal"}));
  if (weight.name().empty() == weight.cluster_header().empty()) {
    return Wrong(where, "exactly one of 'name' and 'cluster_header' must be set");
  }
  if (!weight.has_weight()) return Wrong(where, "'weight' is not set");
  WeightedCluster out;
  out.cluster = weight.name();
  out.cluster_header = absl::AsciiStrToLower(weight.cluster_header());
  out.weight = weight.weight().value();
  out.host_rewrite = weight.host_rewrite_literal();
  ASSIGN_OR_RETURN(out.request_ops, CompileHeaderOps(weight.request_headers_to_add(),
                                                     weight.request_headers_to_remove(), where,
                                                     "request_headers", context.environment));
  ASSIGN_OR_RETURN(out.response_ops, CompileHeaderOps(weight.response_headers_to_add(),
                                                      weight.response_headers_to_remove(), where,
                                                      "response_headers", context.environment));
  ASSIGN_OR_RETURN(out.filters, CompileFilterOverrides(weight.typed_per_filter_config(), where));
  return out;
}

absl::Status CompileWeightedClusters(const route_v3::WeightedCluster& clusters,
                                     absl::string_view where, const CompileContext& context,
                                     Route* route) {
  // runtime_key_prefix: there is no runtime to override weights.
  RETURN_IF_ERROR(
      CheckSupported(clusters, where, {"clusters", "total_weight.**", "runtime_key_prefix"}));
  uint64_t total = 0;
  for (int i = 0; i < clusters.clusters_size(); ++i) {
    ASSIGN_OR_RETURN(WeightedCluster cluster,
                     CompileClusterWeight(clusters.clusters(i),
                                          absl::StrCat(where, ".clusters[", i, "]"), context));
    total += cluster.weight;
    route->clusters.push_back(std::move(cluster));
  }
  if (total == 0) return Wrong(where, "the weights add up to 0");
  if (total > UINT32_MAX) return Wrong(where, "the weights add up to more than 4294967295");
  if (clusters.has_total_weight() && clusters.total_weight().value() != total) {
    return Wrong(where, absl::StrCat("the weights add up to ", total, ", but 'total_weight' says ",
                                     clusters.total_weight().value()));
  }
  route->weight_total = static_cast<uint32_t>(total);
  return absl::OkStatus();
}

absl::Status CompileDestination(const route_v3::RouteAction& action, absl::string_view where,
                                const CompileContext& context, Route* route) {
  switch (action.cluster_specifier_case()) {
    case route_v3::RouteAction::kCluster:
      if (action.cluster().empty()) return Wrong(where, "'cluster' is empty");
      route->clusters.push_back({.cluster = action.cluster()});
      route->weight_total = 1;
      return absl::OkStatus();
    case route_v3::RouteAction::kClusterHeader:
      if (action.cluster_header().empty()) return Wrong(where, "'cluster_header' is empty");
      route->clusters.push_back({.cluster_header = absl::AsciiStrToLower(action.cluster_header())});
      route->weight_total = 1;
      return absl::OkStatus();
    case route_v3::RouteAction::kWeightedClusters:
      return CompileWeightedClusters(action.weighted_clusters(),
                                     absl::StrCat(where, ".weighted_clusters"), context, route);
    default:
      return Wrong(where, "no cluster is set");
  }
}

absl::Status CompileRewrite(const route_v3::RouteAction& action, absl::string_view where,
                            Rewrite* out) {
  if (!action.prefix_rewrite().empty() && action.has_regex_rewrite()) {
    return Wrong(where, "'prefix_rewrite' and 'regex_rewrite' are both set");
  }
  if (!action.prefix_rewrite().empty()) out->prefix = action.prefix_rewrite();
  if (action.has_regex_rewrite()) {
    ASSIGN_OR_RETURN(out->path_regex, CompileRegexRewrite(action.regex_rewrite(),
                                                          absl::StrCat(where, ".regex_rewrite")));
  }
  out->append_x_forwarded_host = action.append_x_forwarded_host();
  switch (action.host_rewrite_specifier_case()) {
    case route_v3::RouteAction::kHostRewriteLiteral:
      if (!action.host_rewrite_literal().empty()) out->authority = action.host_rewrite_literal();
      break;
    case route_v3::RouteAction::kAutoHostRewrite:
      out->auto_authority = action.auto_host_rewrite().value();
      break;
    case route_v3::RouteAction::kHostRewriteHeader:
      out->authority_header = absl::AsciiStrToLower(action.host_rewrite_header());
      break;
    case route_v3::RouteAction::kHostRewritePathRegex: {
      ASSIGN_OR_RETURN(out->authority_path_regex,
                       CompileRegexRewrite(action.host_rewrite_path_regex(),
                                           absl::StrCat(where, ".host_rewrite_path_regex")));
      break;
    }
    default:
      break;
  }
  return absl::OkStatus();
}

absl::Status SetDuration(bool present, const google::protobuf::Duration& duration,
                         absl::string_view where, absl::string_view field,
                         std::optional<Duration>* out) {
  if (!present) return absl::OkStatus();
  ASSIGN_OR_RETURN(*out, CompileDuration(duration, absl::StrCat(where, ".", field)));
  return absl::OkStatus();
}

absl::Status CompileTimeouts(const route_v3::RouteAction& action, absl::string_view where,
                             Timeouts* out) {
  RETURN_IF_ERROR(
      SetDuration(action.has_timeout(), action.timeout(), where, "timeout", &out->request));
  RETURN_IF_ERROR(SetDuration(action.has_idle_timeout(), action.idle_timeout(), where,
                              "idle_timeout", &out->idle));
  // The older pair; Istio still sends it. max_stream_duration's own fields win.
  RETURN_IF_ERROR(SetDuration(action.has_max_grpc_timeout(), action.max_grpc_timeout(), where,
                              "max_grpc_timeout", &out->grpc_header_max));
  RETURN_IF_ERROR(SetDuration(action.has_grpc_timeout_offset(), action.grpc_timeout_offset(), where,
                              "grpc_timeout_offset", &out->grpc_header_offset));
  const auto& stream = action.max_stream_duration();
  const std::string at = absl::StrCat(where, ".max_stream_duration");
  RETURN_IF_ERROR(SetDuration(stream.has_max_stream_duration(), stream.max_stream_duration(), at,
                              "max_stream_duration", &out->max_stream));
  RETURN_IF_ERROR(SetDuration(stream.has_grpc_timeout_header_max(),
                              stream.grpc_timeout_header_max(), at, "grpc_timeout_header_max",
                              &out->grpc_header_max));
  return SetDuration(stream.has_grpc_timeout_header_offset(), stream.grpc_timeout_header_offset(),
                     at, "grpc_timeout_header_offset", &out->grpc_header_offset);
}

absl::StatusOr<HashPolicy> CompileHashPolicy(const route_v3::RouteAction::HashPolicy& policy,
                                             absl::string_view where) {
  RETURN_IF_ERROR(
      CheckSupported(policy, where,
                     {"header.header_name", "cookie.name", "cookie.ttl.**", "cookie.path",
                      "connection_properties.source_ip", "query_parameter.name", "terminal"}));
  HashPolicy out;
  out.terminal = policy.terminal();
  switch (policy.policy_specifier_case()) {
    case route_v3::RouteAction::HashPolicy::kHeader:
      out.name = absl::AsciiStrToLower(policy.header().header_name());
      if (out.name == "host") out.name = ":authority";
      break;
    case route_v3::RouteAction::HashPolicy::kCookie:
      out.kind = HashPolicy::Kind::kCookie;
      out.name = policy.cookie().name();
      out.cookie_path = policy.cookie().path();
      RETURN_IF_ERROR(SetDuration(policy.cookie().has_ttl(), policy.cookie().ttl(), where,
                                  "cookie.ttl", &out.cookie_ttl));
      break;
    case route_v3::RouteAction::HashPolicy::kQueryParameter:
      out.kind = HashPolicy::Kind::kQueryParameter;
      out.name = policy.query_parameter().name();
      break;
    case route_v3::RouteAction::HashPolicy::kConnectionProperties:
      if (!policy.connection_properties().source_ip()) {
        return Wrong(where, "'connection_properties' without 'source_ip' hashes nothing");
      }
      out.kind = HashPolicy::Kind::kSourceIp;
      return out;
    default:
      return Wrong(where, "no policy is set");
  }
  if (out.name.empty()) return Wrong(where, "the name to hash is empty");
  return out;
}

absl::Status CompileUpgrades(const route_v3::RouteAction& action, absl::string_view where,
                             Route* route) {
  for (int i = 0; i < action.upgrade_configs_size(); ++i) {
    const auto& upgrade = action.upgrade_configs(i);
    const std::string at = absl::StrCat(where, ".upgrade_configs[", i, "]");
    RETURN_IF_ERROR(CheckSupported(upgrade, at, {"upgrade_type", "enabled.**"}));
    if (upgrade.upgrade_type().empty()) return Wrong(at, "'upgrade_type' is empty");
    const bool enabled = !upgrade.has_enabled() || upgrade.enabled().value();
    (enabled ? route->upgrades : route->upgrades_refused)
        .push_back(absl::AsciiStrToLower(upgrade.upgrade_type()));
  }
  return absl::OkStatus();
}

int ClusterNotFoundStatus(const route_v3::RouteAction& action) {
  switch (action.cluster_not_found_response_code()) {
    case route_v3::RouteAction::NOT_FOUND:
      return 404;
    case route_v3::RouteAction::INTERNAL_SERVER_ERROR:
      return 500;
    default:
      return 503;
  }
}

}  // namespace

absl::StatusOr<RouteMatch> CompileRouteMatch(const route_v3::RouteMatch& match,
                                             absl::string_view where) {
  RETURN_IF_ERROR(
      CheckSupported(match, where,
                     {"prefix", "path", "safe_regex", "connect_matcher.**", "path_separated_prefix",
                      "case_sensitive.**", "runtime_fraction.**", "headers", "query_parameters",
                      "grpc.**", "tls_context.presented.**"}));
  RouteMatch out;
  if (match.has_case_sensitive()) out.case_sensitive = match.case_sensitive().value();
  switch (match.path_specifier_case()) {
    case route_v3::RouteMatch::kPrefix:
      out.path = match.prefix();
      break;
    case route_v3::RouteMatch::kPath:
      out.path_kind = RouteMatch::Path::kExact;
      out.path = match.path();
      break;
    case route_v3::RouteMatch::kPathSeparatedPrefix:
      out.path_kind = RouteMatch::Path::kPathSeparatedPrefix;
      out.path = match.path_separated_prefix();
      if (out.path.size() < 2 || out.path.front() != '/' || out.path.back() == '/') {
        return Wrong(where, "'path_separated_prefix' must begin with \"/\" and not end with it");
      }
      break;
    case route_v3::RouteMatch::kSafeRegex: {
      out.path_kind = RouteMatch::Path::kRegex;
      ASSIGN_OR_RETURN(out.regex,
                       CompileRegex(match.safe_regex(), absl::StrCat(where, ".safe_regex")));
      break;
    }
    case route_v3::RouteMatch::kConnectMatcher:
      out.path_kind = RouteMatch::Path::kConnect;
      break;
    default:
      return Wrong(where, "no path to match is set");
  }
  if (!out.case_sensitive) absl::AsciiStrToLower(&out.path);
  ASSIGN_OR_RETURN(out.headers,
                   CompileHeaderMatchers(match.headers(), absl::StrCat(where, ".headers")));
  for (int i = 0; i < match.query_parameters_size(); ++i) {
    ASSIGN_OR_RETURN(QueryMatcher query,
                     CompileQueryMatcher(match.query_parameters(i),
                                         absl::StrCat(where, ".query_parameters[", i, "]")));
    out.query.push_back(std::move(query));
  }
  out.grpc_only = match.has_grpc();
  if (match.tls_context().has_presented()) out.tls = match.tls_context().presented().value();
  if (match.has_runtime_fraction()) {
    const Fraction fraction = CompileFraction(match.runtime_fraction());
    out.fraction_numerator = fraction.numerator;
    out.fraction_denominator = fraction.denominator;
  }
  return out;
}

absl::StatusOr<std::vector<MirrorPolicy>> CompileMirrors(
    const google::protobuf::RepeatedPtrField<route_v3::RouteAction::RequestMirrorPolicy>& mirrors,
    absl::string_view where) {
  std::vector<MirrorPolicy> out;
  for (int i = 0; i < mirrors.size(); ++i) {
    const std::string at = absl::StrCat(where, ".request_mirror_policies[", i, "]");
    // trace_sampled: nothing is traced here.
    RETURN_IF_ERROR(CheckSupported(mirrors[i], at,
                                   {"cluster", "cluster_header", "runtime_fraction.**",
                                    "trace_sampled.**", "disable_shadow_host_suffix_append"}));
    if (mirrors[i].cluster().empty() == mirrors[i].cluster_header().empty()) {
      return Wrong(at, "exactly one of 'cluster' and 'cluster_header' must be set");
    }
    MirrorPolicy mirror;
    mirror.cluster = mirrors[i].cluster();
    mirror.cluster_header = absl::AsciiStrToLower(mirrors[i].cluster_header());
    mirror.append_shadow = !mirrors[i].disable_shadow_host_suffix_append();
    if (mirrors[i].has_runtime_fraction()) {
      mirror.fraction = CompileFraction(mirrors[i].runtime_fraction());
    }
    out.push_back(std::move(mirror));
  }
  return out;
}

absl::Status CompileRouteAction(const route_v3::RouteAction& action, absl::string_view where,
                                const CompileContext& context, Route* route) {
  RETURN_IF_ERROR(
      CheckSupported(action, where,
                     {"cluster",
                      "cluster_header",
                      "weighted_clusters",
                      "cluster_not_found_response_code",
                      "prefix_rewrite",
                      "regex_rewrite",
                      "host_rewrite_literal",
                      "auto_host_rewrite.**",
                      "host_rewrite_header",
                      "host_rewrite_path_regex",
                      "append_x_forwarded_host",
                      "timeout.**",
                      "idle_timeout.**",
                      "retry_policy",
                      "request_mirror_policies",
                      "priority",
                      "include_vh_rate_limits.**",  // there are no rate limits to include
                      "hash_policy",
                      "cors",
                      "max_grpc_timeout.**",
                      "grpc_timeout_offset.**",
                      "upgrade_configs",
                      "max_stream_duration.**"}));
  RETURN_IF_ERROR(CompileDestination(action, where, context, route));
  RETURN_IF_ERROR(CompileRewrite(action, where, &route->rewrite));
  RETURN_IF_ERROR(CompileTimeouts(action, where, &route->timeouts));
  route->cluster_not_found_status = ClusterNotFoundStatus(action);
  route->high_priority = action.priority() == envoy::config::core::v3::HIGH;
  if (action.has_retry_policy()) {
    ASSIGN_OR_RETURN(route->retry, CompileRetryPolicy(action.retry_policy(),
                                                      absl::StrCat(where, ".retry_policy")));
  }
  for (int i = 0; i < action.hash_policy_size(); ++i) {
    ASSIGN_OR_RETURN(
        HashPolicy policy,
        CompileHashPolicy(action.hash_policy(i), absl::StrCat(where, ".hash_policy[", i, "]")));
    route->hash.push_back(std::move(policy));
  }
  ASSIGN_OR_RETURN(route->mirrors, CompileMirrors(action.request_mirror_policies(), where));
  if (action.has_cors()) {
    ASSIGN_OR_RETURN(route->own_cors,
                     CompileCorsPolicy(action.cors(), absl::StrCat(where, ".cors")));
  }
  return CompileUpgrades(action, where, route);
}

absl::StatusOr<RedirectAction> CompileRedirect(const route_v3::RedirectAction& action,
                                               absl::string_view where) {
  RETURN_IF_ERROR(CheckSupported(
      action, where,
      {"https_redirect", "scheme_redirect", "host_redirect", "port_redirect", "path_redirect",
       "prefix_rewrite", "regex_rewrite", "response_code", "strip_query"}));
  static constexpr int kStatuses[] = {301, 302, 303, 307, 308};
  if (action.response_code() < 0 ||
      action.response_code() >= static_cast<int>(std::size(kStatuses))) {
    return Wrong(where, "'response_code' is not one of the redirect codes");
  }
  if (action.port_redirect() > 65535) return Wrong(where, "'port_redirect' is no port");
  RedirectAction out;
  out.status = kStatuses[action.response_code()];
  out.https = action.https_redirect();
  out.scheme = action.scheme_redirect();
  out.host = action.host_redirect();
  out.port = action.port_redirect();
  out.path = action.path_redirect();
  out.prefix_rewrite = action.prefix_rewrite();
  out.strip_query = action.strip_query();
  if (action.has_regex_rewrite()) {
    ASSIGN_OR_RETURN(out.regex_rewrite, CompileRegexRewrite(action.regex_rewrite(),
                                                            absl::StrCat(where, ".regex_rewrite")));
  }
  return out;
}

absl::StatusOr<DirectResponseAction> CompileDirectResponse(
    const route_v3::DirectResponseAction& action, absl::string_view where,
    uint32_t body_bytes_max) {
  RETURN_IF_ERROR(
      CheckSupported(action, where, {"status", "body.inline_string", "body.inline_bytes"}));
  if (action.status() < 200 || action.status() > 599) {
    return Wrong(where, absl::StrCat("'status' ", action.status(), " is not between 200 and 599"));
  }
  DirectResponseAction out;
  out.status = static_cast<int>(action.status());
  out.body = action.body().inline_bytes().empty() ? action.body().inline_string()
                                                  : action.body().inline_bytes();
  if (out.body.size() > body_bytes_max) {
    return Wrong(where, absl::StrCat("the body has ", out.body.size(), " bytes; at most ",
                                     body_bytes_max, " are allowed"));
  }
  return out;
}

}  // namespace meltemi::proxy
