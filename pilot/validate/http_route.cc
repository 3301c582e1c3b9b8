#include <map>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "networking/v1/virtual_service.pb.h"
#include "pilot/ingest/names.h"
#include "pilot/validate/grammar.h"
#include "pilot/validate/rules.h"
#include "pilot/validate/shared_rules.h"

namespace meltemi::pilot {
namespace {

using networking::CorsPolicy;
using networking::Headers;
using networking::HTTPDirectResponse;
using networking::HTTPFaultInjection;
using networking::HTTPMatchRequest;
using networking::HTTPRedirect;
using networking::HTTPRetry;
using networking::HTTPRewrite;
using networking::HTTPRoute;
using networking::HTTPRouteDestination;
using networking::StringMatch;

constexpr size_t kDirectResponseBytesMax = 1024 * 1024;

bool IsAuthority(absl::string_view name) {
  return absl::EqualsIgnoreCase(name, ":authority") || absl::EqualsIgnoreCase(name, "host");
}

// Which names the mutations of a place may touch.
enum class Authority { kNo, kHostOnly, kYes };

void ValidateMutatedHeader(const std::string& name, Authority authority, const Path& path,
                           Report* report) {
  if (IsAuthority(name)) {
    if (authority == Authority::kYes) return;
    if (authority == Authority::kHostOnly && absl::EqualsIgnoreCase(name, "host")) return;
    return report->Error(path, absl::StrCat("\"", name, "\" must not be changed here"));
  }
  report->Check(path, WhyNoHeaderName(name));
}

void ValidateOperations(const Headers::HeaderOperations& operations, Authority authority,
                        const Path& path, Report* report) {
  const auto check_map = [&](const auto& map, const Path& at) {
    const std::map<std::string, std::string> sorted(map.begin(), map.end());
    for (const auto& [name, value] : sorted) {
      ValidateMutatedHeader(name, authority, at.Key(name), report);
      report->Check(at.Key(name), WhyNoHeaderValue(value));
    }
  };
  check_map(operations.set(), path / "set");
  check_map(operations.add(), path / "add");
  for (int i = 0; i < operations.remove_size(); ++i) {
    ValidateMutatedHeader(operations.remove(i), Authority::kNo,
                          (path / "remove")[static_cast<size_t>(i)], report);
  }
}

void ValidateHeaders(const Headers& headers, Authority authority, const Path& path,
                     Report* report) {
  ValidateOperations(headers.request(), authority, path / "request", report);
  ValidateOperations(headers.response(), Authority::kNo, path / "response", report);
}

// The authority may be written in one place only.
void ValidateAuthorityOnce(const HTTPRoute& route, const Path& path, Report* report) {
  int writers = route.rewrite().authority().empty() ? 0 : 1;
  for (const auto* map : {&route.headers().request().set(), &route.headers().request().add()}) {
    for (const auto& [name, value] : *map) writers += IsAuthority(name) ? 1 : 0;
  }
  if (writers > 1) report->Error(path, "the authority is rewritten more than once");
}

void ValidateAction(const HTTPRoute& route, bool is_delegate, const Path& path, Report* report) {
  const int actions = (route.route_size() > 0) + route.has_redirect() +
                      route.has_direct_response() + route.has_delegate();
  if (actions == 0) {
    report->Error(path, "one of route, redirect, directResponse or delegate is required");
  } else if (actions > 1) {
    report->Error(path, "only one of route, redirect, directResponse and delegate may be given");
  }
  if (route.has_delegate() && is_delegate) {
    report->Error(path / "delegate", "a delegate must not delegate again");
  }
  if (!route.has_redirect() && !route.has_direct_response()) return;
  const char* const action = route.has_redirect() ? "redirect" : "directResponse";
  if (route.has_rewrite()) {
    report->Error(path / "rewrite", absl::StrCat("has no effect beside ", action));
  }
  if (route.has_fault() && route.has_redirect()) {
    report->Error(path / "fault", "has no effect beside redirect");
  }
}

// Parts of a request by their names, as maps of conditions.
template <typename Map>
void ValidateMatches(const Map& map, bool headers, const Path& path, Report* report) {
  std::map<std::string, const StringMatch*> sorted;
  for (const auto& [name, match] : map) sorted[name] = &match;
  for (const auto& [name, match] : sorted) {
    if (headers) {
      report->Check(path.Key(name), WhyNoHeaderNameOrPseudo(name));
    } else if (name.empty()) {
      report->Error(path, "a query parameter needs a name");
    }
    ValidateStringMatch(*match, path.Key(name), report);
  }
}

void ValidateMatch(const HTTPMatchRequest& match, const Path& path, Report* report) {
  if (match.has_uri()) ValidateStringMatch(match.uri(), path / "uri", report);
  if (match.has_scheme()) ValidateStringMatch(match.scheme(), path / "scheme", report);
  if (match.has_method()) ValidateStringMatch(match.method(), path / "method", report);
  if (match.has_authority()) ValidateStringMatch(match.authority(), path / "authority", report);
  ValidateMatches(match.headers(), true, path / "headers", report);
  ValidateMatches(match.without_headers(), true, path / "withoutHeaders", report);
  ValidateMatches(match.query_params(), false, path / "queryParams", report);
  if (match.ignore_uri_case() && match.uri().match_type_case() == StringMatch::kRegex) {
    report->Warning(path / "ignoreUriCase", "has no effect on a regex: write \"(?i)\" in it");
  }
  if (match.port() != 0) report->Check(path / "port", WhyNoPort(match.port()));
  ValidateLabels(match.source_labels(), path / "sourceLabels", report);
  for (int i = 0; i < match.gateways_size(); ++i) {
    report->Check((path / "gateways")[static_cast<size_t>(i)], WhyNoGatewayName(match.gateways(i)));
  }
  if (!match.source_namespace().empty()) {
    report->Check(path / "sourceNamespace", WhyNoDnsLabel(match.source_namespace()));
  }
}

void ValidateDestinations(const HTTPRoute& route, const Path& path, Report* report) {
  int64_t total = 0;
  for (int i = 0; i < route.route_size(); ++i) {
    const HTTPRouteDestination& destination = route.route(i);
    const Path at = path[static_cast<size_t>(i)];
    if (!destination.has_destination()) {
      report->Error(at, "\"destination\" is required");
    } else {
      ValidateDestination(destination.destination(), at / "destination", report);
    }
    if (destination.weight() < 0) report->Error(at / "weight", "a weight must not be negative");
    total += destination.weight();
    ValidateHeaders(destination.headers(), Authority::kHostOnly, at / "headers", report);
  }
  if (route.route_size() > 1 && total == 0) {
    report->Error(path, "the weights of several destinations must not all be 0");
  }
}

void ValidateMirrors(const HTTPRoute& route, const Path& path, Report* report) {
  if (route.has_mirror()) ValidateDestination(route.mirror(), path / "mirror", report);
  if (route.has_mirror() && route.mirrors_size() > 0) {
    report->Error(path / "mirrors", "only one of mirror and mirrors may be given");
  }
  if (route.has_mirror_percent()) {
    report->Check(path / "mirrorPercent", WhyNoPercent(route.mirror_percent().value()));
    report->Warning(path / "mirrorPercent", "is out of date: write mirrorPercentage", "IST0002");
  }
  if (route.has_mirror_percentage()) {
    report->Check(path / "mirrorPercentage" / "value",
                  WhyNoFractionalPercent(route.mirror_percentage().value()));
  }
  for (int i = 0; i < route.mirrors_size(); ++i) {
    const Path at = (path / "mirrors")[static_cast<size_t>(i)];
    if (!route.mirrors(i).has_destination()) report->Error(at, "\"destination\" is required");
    ValidateDestination(route.mirrors(i).destination(), at / "destination", report);
    if (route.mirrors(i).has_percentage()) {
      report->Check(at / "percentage" / "value",
                    WhyNoFractionalPercent(route.mirrors(i).percentage().value()));
    }
  }
}

void ValidateRedirect(const HTTPRedirect& redirect, const Path& path, Report* report) {
  if (redirect.uri().empty() && redirect.authority().empty() && redirect.scheme().empty() &&
      redirect.prefix_rewrite().empty() &&
      redirect.redirect_port_case() == HTTPRedirect::REDIRECT_PORT_NOT_SET) {
    report->Error(path, "one of uri, prefixRewrite, authority, scheme or port is required");
  }
  if (!redirect.uri().empty() && !redirect.prefix_rewrite().empty()) {
    report->Error(path / "prefixRewrite", "only one of uri and prefixRewrite may be given");
  }
  const uint32_t code = redirect.redirect_code();
  if (code != 0 && (code < 300 || code > 399)) {
    report->Error(path / "redirectCode", absl::StrCat("must be from 300 to 399, not ", code));
  }
  if (!redirect.scheme().empty() && redirect.scheme() != "http" && redirect.scheme() != "https") {
    report->Error(path / "scheme", "must be \"http\" or \"https\"");
  }
  if (redirect.redirect_port_case() == HTTPRedirect::kPort) {
    report->Check(path / "port", WhyNoPort(redirect.port()));
  }
}

void ValidateDirectResponse(const HTTPDirectResponse& response, const Path& path, Report* report) {
  if (response.status() < 200 || response.status() > 599) {
    report->Error(path / "status",
                  absl::StrCat("must be from 200 to 599, not ", response.status()));
  }
  const size_t size = std::max(response.body().string().size(), response.body().bytes().size());
  if (size > kDirectResponseBytesMax) {
    report->Error(path / "body",
                  absl::StrCat("has ", size, " bytes, more than ", kDirectResponseBytesMax));
  }
}

void ValidateRewrite(const HTTPRewrite& rewrite, const Path& path, Report* report) {
  if (rewrite.uri().empty() && rewrite.authority().empty() && !rewrite.has_uri_regex_rewrite()) {
    report->Error(path, "one of uri, authority or uriRegexRewrite is required");
  }
  if (!rewrite.has_uri_regex_rewrite()) return;
  if (!rewrite.uri().empty()) {
    report->Error(path / "uriRegexRewrite", "only one of uri and uriRegexRewrite may be given");
  }
  report->Check(path / "uriRegexRewrite" / "match",
                WhyNoRegex(rewrite.uri_regex_rewrite().match()));
  if (rewrite.uri_regex_rewrite().rewrite().empty()) {
    report->Error(path / "uriRegexRewrite" / "rewrite", "is required");
  }
}

void ValidateRetries(const HTTPRetry& retries, const Path& path, Report* report) {
  if (retries.attempts() < 0) report->Error(path / "attempts", "must not be negative");
  if (retries.attempts() == 0 && (retries.has_per_try_timeout() || !retries.retry_on().empty() ||
                                  retries.has_retry_remote_localities())) {
    report->Error(path, "attempts is 0, which turns retries off: the rest has no effect");
  }
  if (retries.has_per_try_timeout()) {
    report->Check(path / "perTryTimeout", WhyNoDuration(retries.per_try_timeout()));
  }
  if (retries.has_backoff()) report->Check(path / "backoff", WhyNoDuration(retries.backoff()));
  if (retries.retry_on().empty()) return;
  for (const absl::string_view word : absl::StrSplit(retries.retry_on(), ',')) {
    report->Check(path / "retryOn", WhyNoRetryCondition(word));
  }
}

void ValidateFault(const HTTPFaultInjection& fault, const Path& path, Report* report) {
  if (!fault.has_abort() && !fault.has_delay()) {
    report->Error(path, "one of delay and abort is required");
  }
  if (fault.has_delay()) {
    const auto& delay = fault.delay();
    const Path at = path / "delay";
    if (delay.has_percentage()) {
      report->Check(at / "percentage" / "value",
                    WhyNoFractionalPercent(delay.percentage().value()));
    }
    if (delay.percent() != 0) {
      report->Check(at / "percent", WhyNoPercent(delay.percent()));
      report->Warning(at / "percent", "is out of date: write percentage", "IST0002");
    }
    if (delay.has_fixed_delay()) {
      report->Check(at / "fixedDelay", WhyNoDuration(delay.fixed_delay()));
    } else if (delay.has_exponential_delay()) {
      report->Unsupported(at / "exponentialDelay", "exponentialDelay");
    } else {
      report->Error(at, "\"fixedDelay\" is required");
    }
  }
  if (!fault.has_abort()) return;
  const auto& abort = fault.abort();
  const Path at = path / "abort";
  if (abort.has_percentage()) {
    report->Check(at / "percentage" / "value", WhyNoFractionalPercent(abort.percentage().value()));
  }
  switch (abort.error_type_case()) {
    case HTTPFaultInjection::Abort::kHttpStatus:
      if (abort.http_status() < 200 || abort.http_status() > 599) {
        report->Error(at / "httpStatus",
                      absl::StrCat("must be from 200 to 599, not ", abort.http_status()));
      }
      break;
    case HTTPFaultInjection::Abort::kGrpcStatus:
      report->Check(at / "grpcStatus", WhyNoGrpcStatus(abort.grpc_status()));
      break;
    case HTTPFaultInjection::Abort::kHttp2Error:
      report->Unsupported(at / "http2Error", "http2Error");
      break;
    case HTTPFaultInjection::Abort::ERROR_TYPE_NOT_SET:
      report->Error(at, "one of httpStatus and grpcStatus is required");
      break;
  }
}

void ValidateCors(const CorsPolicy& cors, const Path& path, Report* report) {
  for (int i = 0; i < cors.allow_origins_size(); ++i) {
    const Path at = (path / "allowOrigins")[static_cast<size_t>(i)];
    const StringMatch& origin = cors.allow_origins(i);
    if (origin.exact().empty() && origin.prefix().empty() && origin.regex().empty()) {
      report->Error(at, "one of exact, prefix and regex is required");
    } else {
      ValidateStringMatch(origin, at, report);
    }
  }
  if (cors.allow_origin_size() > 0) {
    report->Warning(path / "allowOrigin", "is out of date: write allowOrigins", "IST0002");
  }
  for (int i = 0; i < cors.allow_methods_size(); ++i) {
    report->Check((path / "allowMethods")[static_cast<size_t>(i)],
                  WhyNoMethod(cors.allow_methods(i)));
  }
  for (int i = 0; i < cors.allow_headers_size(); ++i) {
    report->Check((path / "allowHeaders")[static_cast<size_t>(i)],
                  WhyNoHeaderName(cors.allow_headers(i)));
  }
  for (int i = 0; i < cors.expose_headers_size(); ++i) {
    report->Check((path / "exposeHeaders")[static_cast<size_t>(i)],
                  WhyNoHeaderName(cors.expose_headers(i)));
  }
  if (!cors.has_max_age()) return;
  report->Check(path / "maxAge", WhyNoDuration(cors.max_age()));
  if (cors.max_age().nanos() != 0) report->Error(path / "maxAge", "must be in whole seconds");
}

}  // namespace

void ValidateStringMatch(const StringMatch& match, const Path& path, Report* report) {
  if (match.match_type_case() == StringMatch::kRegex) {
    report->Check(path / "regex", WhyNoRegex(match.regex()));
  }
}

void ValidateHttpRoute(const HTTPRoute& route, bool is_delegate, const Path& path, Report* report) {
  ValidateAction(route, is_delegate, path, report);
  for (int i = 0; i < route.match_size(); ++i) {
    ValidateMatch(route.match(i), (path / "match")[static_cast<size_t>(i)], report);
  }
  ValidateHeaders(route.headers(), Authority::kYes, path / "headers", report);
  ValidateAuthorityOnce(route, path, report);
  ValidateDestinations(route, path / "route", report);
  ValidateMirrors(route, path, report);
  if (route.has_redirect()) ValidateRedirect(route.redirect(), path / "redirect", report);
  if (route.has_direct_response()) {
    ValidateDirectResponse(route.direct_response(), path / "directResponse", report);
  }
  if (route.has_rewrite()) ValidateRewrite(route.rewrite(), path / "rewrite", report);
  if (route.has_retries()) ValidateRetries(route.retries(), path / "retries", report);
  if (route.has_fault()) ValidateFault(route.fault(), path / "fault", report);
  if (route.has_cors_policy()) ValidateCors(route.cors_policy(), path / "corsPolicy", report);
  if (route.has_timeout()) report->Check(path / "timeout", WhyNoDuration(route.timeout()));
}

}  // namespace meltemi::pilot
