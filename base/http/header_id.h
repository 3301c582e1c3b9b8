// The header names that the code compares by number instead of by text.
#pragma once

#include <cstdint>

#include "absl/strings/string_view.h"

namespace meltemi::http {

// clang-format off
#define MELTEMI_HTTP_HEADERS(X)                                                          \
  X(kAccessControlAllowCredentials, "access-control-allow-credentials")                  \
  X(kAccessControlAllowHeaders, "access-control-allow-headers")                          \
  X(kAccessControlAllowMethods, "access-control-allow-methods")                          \
  X(kAccessControlAllowOrigin, "access-control-allow-origin")                            \
  X(kAccessControlExposeHeaders, "access-control-expose-headers")                        \
  X(kAccessControlMaxAge, "access-control-max-age")                                      \
  X(kAccessControlRequestHeaders, "access-control-request-headers")                      \
  X(kAccessControlRequestMethod, "access-control-request-method")                        \
  X(kB3, "b3") X(kConnection, "connection") X(kContentLength, "content-length")          \
  X(kContentType, "content-type") X(kCookie, "cookie") X(kDate, "date")                  \
  X(kExpect, "expect") X(kGrpcMessage, "grpc-message") X(kGrpcStatus, "grpc-status")     \
  X(kGrpcTimeout, "grpc-timeout") X(kHost, "host") X(kHttp2Settings, "http2-settings")   \
  X(kKeepAlive, "keep-alive") X(kLocation, "location") X(kOrigin, "origin")              \
  X(kProxyConnection, "proxy-connection") X(kReferer, "referer") X(kServer, "server")    \
  X(kSetCookie, "set-cookie") X(kTe, "te") X(kTraceparent, "traceparent")                \
  X(kTracestate, "tracestate") X(kTrailer, "trailer")                                    \
  X(kTransferEncoding, "transfer-encoding") X(kUpgrade, "upgrade")                       \
  X(kUserAgent, "user-agent") X(kVary, "vary") X(kVia, "via")                            \
  X(kXB3ParentSpanId, "x-b3-parentspanid") X(kXB3Sampled, "x-b3-sampled")                \
  X(kXB3SpanId, "x-b3-spanid") X(kXB3TraceId, "x-b3-traceid")                            \
  X(kXEnvoyAttemptCount, "x-envoy-attempt-count")                                        \
  X(kXEnvoyDecoratorOperation, "x-envoy-decorator-operation")                            \
  X(kXEnvoyExpectedRqTimeoutMs, "x-envoy-expected-rq-timeout-ms")                        \
  X(kXEnvoyMaxRetries, "x-envoy-max-retries")                                            \
  X(kXEnvoyOriginalDstHost, "x-envoy-original-dst-host")                                 \
  X(kXEnvoyOriginalPath, "x-envoy-original-path")                                        \
  X(kXEnvoyOverloaded, "x-envoy-overloaded")                                             \
  X(kXEnvoyPeerMetadata, "x-envoy-peer-metadata")                                        \
  X(kXEnvoyPeerMetadataId, "x-envoy-peer-metadata-id")                                   \
  X(kXEnvoyRetryGrpcOn, "x-envoy-retry-grpc-on") X(kXEnvoyRetryOn, "x-envoy-retry-on")   \
  X(kXEnvoyUpstreamRqPerTryTimeoutMs, "x-envoy-upstream-rq-per-try-timeout-ms")          \
  X(kXEnvoyUpstreamRqTimeoutMs, "x-envoy-upstream-rq-timeout-ms")                        \
  X(kXEnvoyUpstreamServiceTime, "x-envoy-upstream-service-time")                         \
  X(kXForwardedClientCert, "x-forwarded-client-cert")                                    \
  X(kXForwardedFor, "x-forwarded-for") X(kXForwardedHost, "x-forwarded-host")            \
  X(kXForwardedProto, "x-forwarded-proto") X(kXRequestId, "x-request-id")
// clang-format on

enum class HeaderId : uint8_t {
  kUnknown = 0,  // any other name
#define X(id, name) id,
  MELTEMI_HTTP_HEADERS(X)
#undef X
      kCount
};

// The lower-case name of a known header; "" for kUnknown.
absl::string_view HeaderName(HeaderId id);
// `lower_name` must be lower case; kUnknown when it is not in the list. A perfect hash: ~5 ns.
HeaderId FindHeaderId(absl::string_view lower_name);

}  // namespace meltemi::http
