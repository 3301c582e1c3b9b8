// Whether a request is tried again, and after what pause: pure decisions, no IO.
//
// Loop-owned: one for each stream that may be retried, kept from the first attempt to the end of
// the stream. The stream (proxy/stream) asks after each failed attempt or answered header and acts
// on the verdict: on kRetry it starts the next attempt NextBackoff() later, with tried() as the
// hosts to avoid.
//
//   RetryState retry(route.retry.get(), request);             // strips x-envoy-retry-on & co
//   switch (retry.OnResponseHeaders(*response, breaker)) {…}
//   switch (retry.OnAttemptFailed(error, sent, breaker)) {…}
//
// Semantics: Envoy's router filter (x-envoy-retry-on, x-envoy-retry-grpc-on), except that a request
// that is not idempotent (RFC 9110 9.2.2) is not sent again once a byte of it may have reached the
// application, whatever retry_on says (docs/decisions/retries.md). A gRPC status that retry_on
// names is the exception: all gRPC calls are POST, so naming the status is the caller's word that
// it may.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "base/clock/clock.h"
#include "base/http/header_map.h"
#include "base/random/random.h"
#include "proxy/route/policies.h"
#include "proxy/stream/reply/stream_error.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

enum class RetryVerdict : uint8_t {
  kNo,             // not a condition for a retry: pass the outcome on
  kRetry,          // start another attempt after NextBackoff()
  kLimitExceeded,  // it was a condition, but all retries are used up (URX)
  kOverflow,       // it was a condition, but the retries breaker is open (UO)
};

class RetryState {
 public:
  // Asks the cluster's breaker for a place: WorkerCluster::TryRetry. The state keeps the permit
  // until the next verdict or its own end.
  using Breaker = absl::FunctionRef<RetryPermit()>;

  // `policy` may be null (only the request's own headers count); must outlive the state. Reads and
  // removes x-envoy-retry-on, x-envoy-retry-grpc-on, x-envoy-max-retries,
  // x-envoy-retriable-status-codes; words that are unknown are ignored there, as Envoy does.
  RetryState(const RetryPolicy* policy, http::HeaderMap& request);

  // False: nothing can lead to a retry, so bodies need not be kept for a replay.
  bool enabled() const { return retry_on_ != 0 && retries_left_ > 0; }

  // After the headers of a final answer. `response` may be trailers-only gRPC.
  RetryVerdict OnResponseHeaders(const http::HeaderMap& response, Breaker breaker);
  // After OnAttemptFailed, or after the stream cancelled an attempt for its per-try time-out (error
  // kPerTryTimeout or kPerTryIdleTimeout). Not after a response has been passed on. `sent`:
  // OnAttemptSent had been called for the attempt.
  RetryVerdict OnAttemptFailed(StreamError error, bool sent, Breaker breaker);

  // The pause before the next attempt, fully jittered: uniform in [0, min(base * 2^(n-1), max)) for
  // the n-th retry. In whole milliseconds, as Envoy's.
  Duration NextBackoff(Random& random);

  // Bookkeeping of the host predicate. Pointers are only compared.
  void OnAttemptHost(const Host& host);
  // For BalanceContext; empty unless the policy prefers other hosts.
  absl::Span<const Host* const> tried() const { return tried_; }
  uint32_t host_selection_tries() const { return host_selection_tries_; }

  Duration per_try_timeout() const;       // 0: none
  Duration per_try_idle_timeout() const;  // 0: none
  uint32_t retries_done() const { return retries_done_; }

 private:
  RetryVerdict Decide(bool condition, Breaker breaker);
  bool WantsRetryFor(const http::HeaderMap& response) const;
  bool WantsRetryForGrpc(const http::HeaderMap& response) const;
  bool WantsRetryFor(StreamError error, bool sent) const;
  void ReadRequestHeaders(http::HeaderMap& request);

  const RetryPolicy* const policy_;
  uint32_t retry_on_ = 0;
  uint32_t retries_left_ = 0;
  uint32_t retries_done_ = 0;
  uint32_t host_selection_tries_ = 1;
  bool may_repeat_ = false;  // idempotent, or the policy lifts the rule
  bool grpc_ = false;
  std::vector<uint32_t> request_status_codes_;
  absl::InlinedVector<const Host*, 4> tried_;
  RetryPermit permit_;
};

}  // namespace meltemi::proxy
