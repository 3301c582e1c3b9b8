#include "proxy/filters/cors/cors.h"

#include <algorithm>
#include <utility>

#include "base/metrics/metrics.h"
#include "proxy/route/route.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;
using http::HeaderMap;

struct Counters {
  explicit Counters(metrics::Scope& scope)
      : valid(scope.GetCounter("envoy_http_cors_origin_valid")),
        invalid(scope.GetCounter("envoy_http_cors_origin_invalid")) {}
  metrics::Counter& valid;
  metrics::Counter& invalid;
};

const CorsPolicy* PolicyOf(FilterStream& stream) {
  const FilterOverrides* overrides = stream.overrides();
  if (overrides != nullptr) {
    if (overrides->cors_disabled) return nullptr;
    if (overrides->cors != nullptr) return overrides->cors.get();
  }
  return stream.route() == nullptr ? nullptr : stream.route()->cors;
}

bool Allows(const CorsPolicy& policy, absl::string_view origin) {
  return std::any_of(policy.allow_origins.begin(), policy.allow_origins.end(),
                     [&](const StringMatcher& matcher) {
                       return matcher.Matches("*") || matcher.Matches(origin);
                     });
}

void SetUnlessEmpty(HeaderMap& headers, HeaderId id, absl::string_view value) {
  if (!value.empty()) headers.Set(id, value);
}

class CorsFilter final : public Filter {
 public:
  CorsFilter(FilterStream& stream, const CorsPolicy& policy, Counters& counters)
      : stream_(stream), policy_(policy), counters_(counters) {}

  FilterResult OnRequestHeaders(HeaderMap& headers, bool end_stream) override {
    const absl::string_view origin = headers.Get(HeaderId::kOrigin);
    if (origin.empty()) return FilterResult::kContinue;
    const bool enabled = policy_.enabled.Hit(stream_.random().Next());
    if (!enabled && !policy_.shadow.Hit(stream_.random().Next())) return FilterResult::kContinue;
    const bool allowed = Allows(policy_, origin);
    (allowed ? counters_.valid : counters_.invalid).Inc();
    if (!enabled) return FilterResult::kContinue;  // shadow mode: only counts

    const bool preflight = headers.method() == "OPTIONS" &&
                           !headers.Get(HeaderId::kAccessControlRequestMethod).empty();
    if (!allowed) {
      if (!preflight || policy_.forward_not_matching_preflights) return FilterResult::kContinue;
      return Answer(HeaderMap::New());
    }
    origin_ = std::string(origin);
    if (!preflight) return FilterResult::kContinue;
    http::HeaderMapPtr answer = HeaderMap::New();
    MarkAllowed(*answer);
    SetUnlessEmpty(*answer, HeaderId::kAccessControlAllowMethods, policy_.allow_methods);
    SetUnlessEmpty(*answer, HeaderId::kAccessControlAllowHeaders, policy_.allow_headers);
    SetUnlessEmpty(*answer, HeaderId::kAccessControlMaxAge, policy_.max_age);
    return Answer(std::move(answer));
  }

  void OnResponseHeaders(HeaderMap& headers) override {
    if (origin_.empty()) return;
    MarkAllowed(headers);
    SetUnlessEmpty(headers, HeaderId::kAccessControlExposeHeaders, policy_.expose_headers);
  }

 private:
  void MarkAllowed(HeaderMap& headers) const {
    headers.Set(HeaderId::kAccessControlAllowOrigin, origin_);
    if (policy_.allow_credentials.value_or(false)) {
      headers.Set(HeaderId::kAccessControlAllowCredentials, "true");
    }
  }

  FilterResult Answer(http::HeaderMapPtr headers) {
    LocalReply reply;
    reply.status = 200;
    reply.details = "cors_response";
    reply.headers = std::move(headers);
    stream_.Answer(std::move(reply));
    return FilterResult::kAnswered;
  }

  FilterStream& stream_;
  const CorsPolicy& policy_;  // of the stream's route, which the stream keeps alive
  Counters& counters_;
  std::string origin_;  // of an allowed request
};

class CorsFactory final : public FilterFactory {
 public:
  explicit CorsFactory(metrics::Scope& scope) : counters_(scope) {}
  absl::string_view name() const override { return "envoy.filters.http.cors"; }
  std::unique_ptr<Filter> NewFilter(FilterStream& stream) override {
    const CorsPolicy* policy = PolicyOf(stream);
    if (policy == nullptr) return nullptr;
    return std::make_unique<CorsFilter>(stream, *policy, counters_);
  }

 private:
  Counters counters_;
};

class CorsConfig final : public FilterConfig {
 public:
  std::unique_ptr<FilterFactory> NewFactory(metrics::Scope& scope) const override {
    return std::make_unique<CorsFactory>(scope);
  }
};

}  // namespace

std::shared_ptr<const FilterConfig> NewCorsFilter() { return std::make_shared<CorsConfig>(); }

}  // namespace meltemi::proxy
