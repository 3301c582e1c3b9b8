// The one place that turns a StreamError into an answer: status, response flags, details word,
// body, and the headers of an answer that the proxy makes itself (HTTP and gRPC). Pure functions;
// any thread.
//
// Facts and words are Envoy's (local replies, response_code_details, resetReasonToString), so that
// dashboards and habits keep working. One departure, which Envoy itself has made since: a gRPC
// request that ran out of time gets DEADLINE_EXCEEDED, not UNAVAILABLE (UNAVAILABLE invites a
// retry).
#pragma once

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "base/http/header_map.h"
#include "proxy/stream/reply/stream_error.h"

namespace meltemi::proxy {

// What is known about a failure beside its kind.
struct ErrorContext {
  absl::string_view transport_failure;  // "delayed connect error: Connection refused"; may be ""
  bool request_complete = true;         // the whole request had arrived (504 instead of 408)
  bool retried = false;                 // this was not the first attempt
  bool retries_exhausted = false;       // the retry policy allowed no more: URX
  int cluster_not_found_status = 503;   // Route::cluster_not_found_status
};

struct ErrorReply {
  int status = 500;     // what an HTTP client is told; also for errors that nobody is left to hear
  int grpc_status = 2;  // what a gRPC client is told instead
  uint32_t flags = 0;   // ResponseFlag bits
  std::string details;  // %RESPONSE_CODE_DETAILS%
  std::string body;
  absl::string_view counter;  // Envoy's cluster or HTTP counter for it; "" when it has none
  bool overloaded = false;    // x-envoy-overloaded: true goes with it
};

// kNone and kFaultOverflow are no failures: they map to kInternal's facts.
ErrorReply MapError(StreamError error, const ErrorContext& context = {});

// The flags alone (TCP connections, broken-off responses).
uint32_t ErrorFlags(StreamError error);

// "connection timeout", "remote reset" …: Envoy's words for why an attempt ended; "" for errors
// that are not of an attempt.
absl::string_view ResetReason(StreamError error);

// Envoy's mapping of an HTTP status to gRPC's for answers that the proxy makes.
int GrpcStatusFromHttp(int http_status);
// And back (google.rpc.Code's table), for metrics and access log filters.
int HttpStatusFromGrpc(int grpc_status);

// application/grpc, application/grpc+…; nothing else ("application/grpc-web" is not gRPC).
bool IsGrpcContentType(absl::string_view content_type);
bool IsGrpcRequest(const http::HeaderMap& request);

// RFC 3986 percent-encoding of a grpc-message (gRPC's PROTOCOL-HTTP2: 0x20-0x7E without "%").
std::string EncodeGrpcMessage(absl::string_view message);

struct LocalAnswer {
  http::HeaderMapPtr headers;
  std::string body;  // to be sent after the headers; empty: the headers end the stream
};

// The answer to `request` (null: unknown, HTTP is assumed): plain text with its length; for a gRPC
// request 200 with grpc-status and grpc-message and no body (trailers-only); for HEAD the length
// without the body. `grpc_status` < 0: derived from `status`. `extra`: headers to add, may be null.
LocalAnswer MakeLocalAnswer(int status, int grpc_status, absl::string_view body,
                            const http::HeaderMap* request, const http::HeaderMap* extra);
LocalAnswer MakeLocalAnswer(const ErrorReply& reply, const http::HeaderMap* request);

}  // namespace meltemi::proxy
