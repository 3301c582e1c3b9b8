// What a route prescribes beside its destination: time-outs, retries, hashing, CORS, rewrites,
// faults. Plain immutable records, read by all workers.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "proxy/route/matchers.h"

namespace meltemi::proxy {

struct RbacConfig;  // proxy/filters/rbac/rbac.h

// A share: numerator of denominator. Default: always.
struct Fraction {
  uint32_t numerator = 100;
  uint32_t denominator = 100;
  bool Hit(uint64_t random) const { return random % denominator < numerator; }
};

// Unset means: not set here, the connection manager's applies. Zero means: none.
struct Timeouts {
  std::optional<Duration> request;  // whole request, from its end to the end of the response
  std::optional<Duration> idle;     // no bytes in either direction
  std::optional<Duration> max_stream;
  std::optional<Duration> grpc_header_max;
  std::optional<Duration> grpc_header_offset;
};

// Bits of Envoy's retry_on words.
enum RetryOn : uint32_t {
  kRetry5xx = 1u << 0,
  kRetryGatewayError = 1u << 1,
  kRetryReset = 1u << 2,
  kRetryConnectFailure = 1u << 3,
  kRetryRefusedStream = 1u << 4,
  kRetryRetriable4xx = 1u << 5,
  kRetryRetriableStatusCodes = 1u << 6,
  kRetryRetriableHeaders = 1u << 7,
  kRetryEnvoyRateLimited = 1u << 8,
  kRetryResetBeforeRequest = 1u << 9,
  kRetryHttp3PostConnect = 1u << 10,
  kRetryGrpcCancelled = 1u << 11,
  kRetryGrpcDeadlineExceeded = 1u << 12,
  kRetryGrpcInternal = 1u << 13,
  kRetryGrpcResourceExhausted = 1u << 14,
  kRetryGrpcUnavailable = 1u << 15,
};
// Comma-separated words to bits; false (and *bad_word) when one is unknown. A bare number ("503")
// is a retriable status code, as Istio writes it.
bool ParseRetryOn(absl::string_view words, uint32_t* bits, std::vector<uint32_t>* status_codes,
                  std::string* bad_word);

struct RetryPolicy {
  uint32_t retry_on = 0;  // RetryOn bits
  uint32_t retries_max = 1;
  Duration per_try_timeout{0};  // 0: none
  Duration per_try_idle_timeout{0};
  Duration backoff_base = milliseconds(25);
  Duration backoff_max = milliseconds(250);
  std::vector<uint32_t> retriable_status_codes;
  std::vector<HeaderMatcher> retriable_headers;          // of the response
  std::vector<HeaderMatcher> retriable_request_headers;  // empty: any request
  bool other_hosts = false;                              // previous_hosts predicate
  uint32_t host_selection_tries = 1;  // how often a balancer is asked again for another host
  bool other_priorities = false;
  // design decision 13: a request that is not idempotent is not tried again once a byte of it may
  // have reached the application, whatever retry_on says; true lifts that.
  bool retry_non_idempotent = false;
};

struct HashPolicy {
  enum class Kind : uint8_t { kHeader, kCookie, kSourceIp, kQueryParameter, kFilterState };
  Kind kind = Kind::kHeader;
  std::string name;  // header, cookie or parameter
  // kCookie: generated when absent and ttl is set (0 = session cookie).
  std::optional<Duration> cookie_ttl;
  std::string cookie_path;
  bool terminal = false;
};

struct CorsPolicy {
  std::vector<StringMatcher> allow_origins;
  std::string allow_methods, allow_headers, expose_headers, max_age;
  std::optional<bool> allow_credentials;
  Fraction enabled;
  Fraction shadow{0, 100};
  bool forward_not_matching_preflights = true;
};

struct RegexRewrite {
  std::shared_ptr<const Regex> pattern;
  std::string substitution;  // RE2's, \1 …
};

struct Rewrite {
  // At most one of the three; prefix_rewrite replaces what the match's prefix (or path) matched.
  std::optional<std::string> prefix;
  std::optional<RegexRewrite> path_regex;
  std::optional<std::string> full_path;
  // At most one.
  std::optional<std::string> authority;
  std::string authority_header;
  bool auto_authority = false;  // the upstream host's name
  std::optional<RegexRewrite> authority_path_regex;
  bool append_x_forwarded_host = false;
};

struct FaultPolicy {
  std::optional<Duration> delay;
  bool delay_from_header = false;
  Fraction delay_share{0, 100};
  int abort_status = 0;        // 0: none
  int abort_grpc_status = -1;  // -1: none
  bool abort_from_header = false;
  Fraction abort_share{0, 100};
  std::vector<HeaderMatcher> headers;  // all must match
  std::vector<std::string> downstream_nodes;
  std::string upstream_cluster;  // "" = any
  std::optional<uint32_t> active_faults_max;
};

// Replaces the rules of the RBAC filters of that name.
struct RbacOverride {
  std::string filter;
  std::shared_ptr<const RbacConfig> config;  // null: they are off here
};

// Per-route settings of the filters; null: the filter's own apply.
struct FilterOverrides {
  std::shared_ptr<const FaultPolicy> fault;
  bool fault_disabled = false;
  std::shared_ptr<const CorsPolicy> cors;
  bool cors_disabled = false;
  std::vector<RbacOverride> rbac;  // one per name

  bool empty() const {
    return fault == nullptr && !fault_disabled && cors == nullptr && !cors_disabled && rbac.empty();
  }
};

}  // namespace meltemi::proxy
