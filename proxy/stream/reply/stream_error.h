// The closed list of what can go wrong with a stream, and the response flags that say so in logs.
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::proxy {

// Every failure of a request or a TCP connection is one of these. proxy/stream/reply maps each to a
// status, a flag, a details word and a counter: the one place where that is decided.
enum class StreamError : uint8_t {
  kNone,
  // --- routing
  kRouteNotFound,    // 404 NR
  kClusterNotFound,  // 503 NC
  // --- choosing a host
  kNoHealthyUpstream,  // 503 UH
  kOverflow,           // 503 UO: a circuit breaker of the cluster is open
  // --- one attempt
  kConnectFailure,       // 503 UF: refused, unreachable
  kConnectTimeout,       // 503 UF
  kUpstreamRefused,      // 503 UR: REFUSED_STREAM / GOAWAY before it was looked at
  kUpstreamReset,        // 503 UR: the upstream reset the stream
  kUpstreamTermination,  // 503 UC: the connection ended under the stream
  kUpstreamProtocol,     // 502 UPE
  kPerTryTimeout,        // 504 UT
  kPerTryIdleTimeout,    // 504 UT
  // --- the whole stream
  kRequestTimeout,        // 504 UT: the route's timeout
  kStreamIdleTimeout,     // 408/504 SI
  kMaxDuration,           // 504 DT (before a response), else reset
  kRequestHeaderTimeout,  // 408
  kRetryLimit,            // URX beside the last attempt's own flag
  kBodyTooLarge,          // 413: more than can be buffered where buffering is needed
  kHeadersTooLarge,       // 431
  kBadRequest,            // 400 DPE
  kUpgradeRefused,        // 403: upgrade not allowed here
  kDownstreamReset,       // DC: nobody is left to answer
  kDownstreamProtocol,    // DPE
  kDraining,              // 503: this proxy is going away
  kFaultAbort,            // FI: status of the fault
  kFaultOverflow,         // the number of active faults is at its limit: passes unfaulted
  kLocalReset,            // LR
  kInternal,              // 500: a bug of ours
};

// Envoy's response flags as bits of a set; ResponseFlagsText prints them as the access log does:
// short names, sorted as Envoy sorts them, joined by ",", "-" when none.
enum ResponseFlag : uint32_t {
  kFlagLocalHealthFail = 1u << 0,      // LH
  kFlagNoHealthyUpstream = 1u << 1,    // UH
  kFlagUpstreamTimeout = 1u << 2,      // UT
  kFlagLocalReset = 1u << 3,           // LR
  kFlagUpstreamReset = 1u << 4,        // UR
  kFlagUpstreamConnFail = 1u << 5,     // UF
  kFlagUpstreamConnTerm = 1u << 6,     // UC
  kFlagUpstreamOverflow = 1u << 7,     // UO
  kFlagNoRoute = 1u << 8,              // NR
  kFlagDelayInjected = 1u << 9,        // DI
  kFlagFaultInjected = 1u << 10,       // FI
  kFlagRateLimited = 1u << 11,         // RL
  kFlagUnauthorized = 1u << 12,        // UAEX
  kFlagDownstreamConnTerm = 1u << 13,  // DC
  kFlagRetryLimit = 1u << 14,          // URX
  kFlagStreamIdleTimeout = 1u << 15,   // SI
  kFlagInvalidEnvoyHeader = 1u << 16,  // IH
  kFlagDownstreamProtocol = 1u << 17,  // DPE
  kFlagMaxConnDuration = 1u << 18,     // UMSDR: max stream duration reached
  kFlagNoCluster = 1u << 19,           // NC
  kFlagDurationTimeout = 1u << 20,     // DT
  kFlagUpstreamProtocol = 1u << 21,    // UPE
  kFlagOverloadManager = 1u << 22,     // OM
};
std::string ResponseFlagsText(uint32_t flags);
// The bit of a short name ("UF"); 0 when there is none.
uint32_t ResponseFlagFromName(absl::string_view name);

}  // namespace meltemi::proxy
