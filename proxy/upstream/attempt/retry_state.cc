#include "proxy/upstream/attempt/retry_state.h"

#include <algorithm>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "proxy/upstream/attempt/idempotent.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;

constexpr absl::string_view kRetriableStatusCodesHeader = "x-envoy-retriable-status-codes";
constexpr absl::string_view kRateLimitedHeader = "x-envoy-ratelimited";

constexpr uint32_t kGrpcConditions = kRetryGrpcCancelled | kRetryGrpcDeadlineExceeded |
                                     kRetryGrpcInternal | kRetryGrpcResourceExhausted |
                                     kRetryGrpcUnavailable;
// A reset or time-out without an answer counts as a 5xx and as a gateway error.
constexpr uint32_t kResetConditions = kRetry5xx | kRetryGatewayError | kRetryReset;

constexpr uint32_t kRetriesMaxDefault = 1;

// Words that only requests may use are read one by one: unknown ones are ignored there.
uint32_t ParseLeniently(absl::string_view words, uint32_t allowed) {
  uint32_t all = 0;
  for (const absl::string_view word : absl::StrSplit(words, ',')) {
    uint32_t bits = 0;
    std::vector<uint32_t> codes;
    std::string bad_word;
    if (ParseRetryOn(absl::StripAsciiWhitespace(word), &bits, &codes, &bad_word)) all |= bits;
  }
  return all & allowed;
}

uint32_t GrpcConditionOf(absl::string_view grpc_status) {
  int status;
  if (!absl::SimpleAtoi(grpc_status, &status)) return 0;
  switch (status) {
    case 1:
      return kRetryGrpcCancelled;
    case 4:
      return kRetryGrpcDeadlineExceeded;
    case 8:
      return kRetryGrpcResourceExhausted;
    case 13:
      return kRetryGrpcInternal;
    case 14:
      return kRetryGrpcUnavailable;
    default:
      return 0;
  }
}

bool AnyMatches(const std::vector<HeaderMatcher>& matchers, const http::HeaderMap& headers) {
  return std::any_of(matchers.begin(), matchers.end(),
                     [&](const HeaderMatcher& matcher) { return matcher.Matches(headers); });
}

bool Contains(const std::vector<uint32_t>& codes, uint32_t code) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

}  // namespace

RetryState::RetryState(const RetryPolicy* policy, http::HeaderMap& request) : policy_(policy) {
  if (policy != nullptr) {
    retry_on_ = policy->retry_on;
    retries_left_ = policy->retries_max;
    if (policy->other_hosts) host_selection_tries_ = std::max(1u, policy->host_selection_tries);
  }
  if (request.Has(HeaderId::kXEnvoyRetryOn) || request.Has(HeaderId::kXEnvoyRetryGrpcOn) ||
      request.Has(HeaderId::kXEnvoyMaxRetries)) {
    ReadRequestHeaders(request);
  }
  if (retry_on_ == 0) return;
  if ((retry_on_ & kRetryRetriableStatusCodes) != 0) {
    for (const absl::string_view word :
         absl::StrSplit(request.Get(kRetriableStatusCodesHeader), ',', absl::SkipEmpty())) {
      uint32_t code;
      if (absl::SimpleAtoi(word, &code)) request_status_codes_.push_back(code);
    }
  }
  request.Remove(kRetriableStatusCodesHeader);
  if (policy != nullptr && !policy->retriable_request_headers.empty() &&
      !AnyMatches(policy->retriable_request_headers, request)) {
    retry_on_ = 0;
    return;
  }
  may_repeat_ =
      IsIdempotent(request.method()) || (policy != nullptr && policy->retry_non_idempotent);
  grpc_ = absl::StartsWith(request.Get(HeaderId::kContentType), "application/grpc");
}

void RetryState::ReadRequestHeaders(http::HeaderMap& request) {
  const bool asked =
      request.Has(HeaderId::kXEnvoyRetryOn) || request.Has(HeaderId::kXEnvoyRetryGrpcOn);
  retry_on_ |= ParseLeniently(request.Get(HeaderId::kXEnvoyRetryOn), ~kGrpcConditions);
  retry_on_ |= ParseLeniently(request.Get(HeaderId::kXEnvoyRetryGrpcOn), kGrpcConditions);
  if (asked && policy_ == nullptr) retries_left_ = kRetriesMaxDefault;
  uint32_t retries_max;
  if (absl::SimpleAtoi(request.Get(HeaderId::kXEnvoyMaxRetries), &retries_max)) {
    retries_left_ = retries_max;
  }
  request.Remove(HeaderId::kXEnvoyRetryOn);
  request.Remove(HeaderId::kXEnvoyRetryGrpcOn);
  request.Remove(HeaderId::kXEnvoyMaxRetries);
}

RetryVerdict RetryState::Decide(bool condition, Breaker breaker) {
  // The attempt that held the permit has its outcome.
  permit_.reset();
  if (!condition) return RetryVerdict::kNo;
  if (retries_left_ == 0) return RetryVerdict::kLimitExceeded;
  --retries_left_;
  permit_ = breaker();
  if (permit_ == nullptr) return RetryVerdict::kOverflow;
  ++retries_done_;
  return RetryVerdict::kRetry;
}

RetryVerdict RetryState::OnResponseHeaders(const http::HeaderMap& response, Breaker breaker) {
  return Decide(retry_on_ != 0 && WantsRetryFor(response), breaker);
}

RetryVerdict RetryState::OnAttemptFailed(StreamError error, bool sent, Breaker breaker) {
  return Decide(retry_on_ != 0 && WantsRetryFor(error, sent), breaker);
}

bool RetryState::WantsRetryFor(const http::HeaderMap& response) const {
  // Another proxy on the way refused the request because it has too much to do.
  if (response.Has(HeaderId::kXEnvoyOverloaded)) return false;
  if (grpc_ && WantsRetryForGrpc(response)) return true;
  // The application has answered, so it has seen the request.
  if (!may_repeat_) return false;
  const uint32_t status = static_cast<uint32_t>(response.status());
  if (response.Find(kRateLimitedHeader) != nullptr) {
    return (retry_on_ & kRetryEnvoyRateLimited) != 0;
  }
  if ((retry_on_ & kRetry5xx) != 0 && status >= 500 && status < 600) return true;
  if ((retry_on_ & kRetryGatewayError) != 0 && status >= 502 && status <= 504) return true;
  if ((retry_on_ & kRetryRetriable4xx) != 0 && status == 409) return true;
  if ((retry_on_ & kRetryRetriableStatusCodes) != 0 &&
      ((policy_ != nullptr && Contains(policy_->retriable_status_codes, status)) ||
       Contains(request_status_codes_, status))) {
    return true;
  }
  return (retry_on_ & kRetryRetriableHeaders) != 0 && policy_ != nullptr &&
         AnyMatches(policy_->retriable_headers, response);
}

bool RetryState::WantsRetryForGrpc(const http::HeaderMap& response) const {
  if ((retry_on_ & kGrpcConditions) == 0 || !response.Has(HeaderId::kGrpcStatus)) return false;
  return (retry_on_ & GrpcConditionOf(response.Get(HeaderId::kGrpcStatus))) != 0;
}

bool RetryState::WantsRetryFor(StreamError error, bool sent) const {
  const bool nothing_seen = !sent || error == StreamError::kConnectFailure ||
                            error == StreamError::kConnectTimeout ||
                            error == StreamError::kUpstreamRefused;
  if (!nothing_seen && !may_repeat_) return false;
  switch (error) {
    case StreamError::kConnectFailure:
    case StreamError::kConnectTimeout:
      return (retry_on_ & (kResetConditions | kRetryConnectFailure | kRetryResetBeforeRequest)) !=
             0;
    case StreamError::kUpstreamRefused:
      return (retry_on_ & (kResetConditions | kRetryRefusedStream)) != 0;
    case StreamError::kUpstreamReset:
    case StreamError::kUpstreamTermination:
    case StreamError::kUpstreamProtocol:
    case StreamError::kPerTryTimeout:
    case StreamError::kPerTryIdleTimeout:
      return (retry_on_ & kResetConditions) != 0 ||
             (!sent && (retry_on_ & kRetryResetBeforeRequest) != 0);
    default:
      // No host, breaker open, gone client …: another try would not help or must not be made.
      return false;
  }
}

Duration RetryState::NextBackoff(Random& random) {
  int64_t base = 25, max = 250;
  if (policy_ != nullptr) {
    base = std::max<int64_t>(1, ToMillis(policy_->backoff_base));
    max = std::max<int64_t>(base, ToMillis(policy_->backoff_max));
  }
  int64_t bound = base;
  for (uint32_t retry = 1; retry < retries_done_ && bound < max; ++retry) bound *= 2;
  return milliseconds(random.Below(static_cast<uint64_t>(std::min(bound, max))));
}

void RetryState::OnAttemptHost(const Host& host) {
  if (policy_ != nullptr && policy_->other_hosts) tried_.push_back(&host);
}

Duration RetryState::per_try_timeout() const {
  return policy_ != nullptr ? policy_->per_try_timeout : Duration(0);
}

Duration RetryState::per_try_idle_timeout() const {
  return policy_ != nullptr ? policy_->per_try_idle_timeout : Duration(0);
}

}  // namespace meltemi::proxy
