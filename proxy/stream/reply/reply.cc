#include "proxy/stream/reply/reply.h"

#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace meltemi::proxy {
namespace {

using http::HeaderId;

enum GrpcCode : int {
  kGrpcUnknown = 2,
  kGrpcDeadlineExceeded = 4,
  kGrpcPermissionDenied = 7,
  kGrpcResourceExhausted = 8,
  kGrpcUnimplemented = 12,
  kGrpcInternal = 13,
  kGrpcUnavailable = 14,
  kGrpcUnauthenticated = 16,
};

// One row per StreamError. `details` "" with a `reason`: the attempt's details are built from it.
struct Row {
  StreamError error;
  int status;
  int grpc_status;  // -1: from the status
  uint32_t flags;
  absl::string_view details;
  absl::string_view reason;  // why an attempt ended, in Envoy's words
  absl::string_view body;
  absl::string_view counter;
};

// clang-format off
using E = StreamError;
constexpr absl::string_view kTimedOut = "upstream request timeout";
constexpr std::array<Row, 29> kRows = {{
  {E::kNone,                 500, -1, 0, "internal_error", "", "", ""},
  {E::kRouteNotFound,        404, -1, kFlagNoRoute, "route_not_found", "", "", "no_route"},
  {E::kClusterNotFound,      503, -1, kFlagNoCluster, "cluster_not_found", "", "", "no_cluster"},
  {E::kNoHealthyUpstream,    503, -1, kFlagNoHealthyUpstream, "no_healthy_upstream", "",
   "no healthy upstream", "upstream_cx_none_healthy"},
  {E::kOverflow,             503, -1, kFlagUpstreamOverflow, "", "overflow", "",
   "upstream_rq_pending_overflow"},
  {E::kConnectFailure,       503, -1, kFlagUpstreamConnFail, "", "remote connection failure", "",
   "upstream_rq_pending_failure_eject"},
  {E::kConnectTimeout,       503, -1, kFlagUpstreamConnFail, "", "connection timeout", "",
   "upstream_rq_pending_failure_eject"},
  {E::kUpstreamRefused,      503, -1, kFlagUpstreamReset, "", "remote refused stream reset", "",
   "upstream_rq_rx_reset"},
  {E::kUpstreamReset,        503, -1, kFlagUpstreamReset, "", "remote reset", "",
   "upstream_rq_rx_reset"},
  {E::kUpstreamTermination,  503, -1, kFlagUpstreamConnTerm, "", "connection termination", "",
   "upstream_cx_destroy_remote_with_active_rq"},
  {E::kUpstreamProtocol,     502, -1, kFlagUpstreamProtocol, "", "protocol error", "",
   "upstream_cx_protocol_error"},
  {E::kPerTryTimeout,        504, kGrpcDeadlineExceeded, kFlagUpstreamTimeout,
   "upstream_per_try_timeout", "", kTimedOut, "upstream_rq_per_try_timeout"},
  {E::kPerTryIdleTimeout,    504, kGrpcDeadlineExceeded, kFlagUpstreamTimeout,
   "upstream_per_try_idle_timeout", "", kTimedOut, "upstream_rq_per_try_idle_timeout"},
  {E::kRequestTimeout,       504, kGrpcDeadlineExceeded, kFlagUpstreamTimeout,
   "response_timeout", "", kTimedOut, "upstream_rq_timeout"},
  {E::kStreamIdleTimeout,    504, -1, kFlagStreamIdleTimeout, "stream_idle_timeout", "",
   "stream timeout", "downstream_rq_idle_timeout"},
  {E::kMaxDuration,          504, kGrpcDeadlineExceeded, kFlagDurationTimeout,
   "max_duration_timeout", "", "downstream duration timeout",
   "downstream_rq_max_duration_reached"},
  {E::kRequestHeaderTimeout, 408, -1, 0, "request_header_timeout", "", "request header timeout",
   "downstream_rq_header_timeout"},
  {E::kRetryLimit,           503, -1, kFlagRetryLimit, "", "remote reset", "",
   "upstream_rq_retry_limit_exceeded"},
  {E::kBodyTooLarge,         413, -1, 0, "request_payload_too_large", "", "Payload Too Large",
   "downstream_rq_too_large"},
  {E::kHeadersTooLarge,      431, -1, kFlagDownstreamProtocol, "request_headers_too_large", "",
   "Request Header Fields Too Large", "downstream_cx_protocol_error"},
  {E::kBadRequest,           400, -1, kFlagDownstreamProtocol, "http1.codec_error", "",
   "Bad Request", "downstream_cx_protocol_error"},
  {E::kUpgradeRefused,       403, -1, 0, "upgrade_failed", "", "",
   "downstream_rq_ws_on_non_ws_route"},
  {E::kDownstreamReset,      499, -1, kFlagDownstreamConnTerm, "downstream_remote_disconnect", "",
   "", "downstream_rq_rx_reset"},
  {E::kDownstreamProtocol,   400, -1, kFlagDownstreamProtocol, "codec_error", "", "Bad Request",
   "downstream_cx_protocol_error"},
  {E::kDraining,             503, -1, kFlagLocalReset, "proxy_draining", "", "proxy is draining",
   "downstream_rq_overload_close"},
  {E::kFaultAbort,           503, -1, kFlagFaultInjected, "fault_filter_abort", "",
   "fault filter abort", "aborts_injected"},
  {E::kFaultOverflow,        500, -1, 0, "internal_error", "", "", "faults_overflow"},
  {E::kLocalReset,           503, -1, kFlagLocalReset, "", "local reset", "",
   "upstream_rq_tx_reset"},
  {E::kInternal,             500, -1, 0, "internal_error", "", "", ""},
}};
// clang-format on

const Row& RowOf(StreamError error) {
  const size_t index = static_cast<size_t>(error);
  if (index < kRows.size() && kRows[index].error == error) return kRows[index];
  return kRows[0];
}

// Spaces are not allowed in a details word: log lines are split at them.
std::string Underscored(absl::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (absl::ascii_isspace(static_cast<unsigned char>(c))) c = '_';
  }
  return out;
}

void DescribeAttempt(const Row& row, const ErrorContext& context, ErrorReply* reply) {
  reply->details = absl::StrCat("upstream_reset_before_response_started{", Underscored(row.reason));
  reply->body =
      absl::StrCat("upstream connect error or disconnect/reset before headers. ",
                   context.retried ? "retried and the latest " : "", "reset reason: ", row.reason);
  if (!context.transport_failure.empty()) {
    absl::StrAppend(&reply->details, "|", Underscored(context.transport_failure));
    absl::StrAppend(&reply->body, ", transport failure reason: ", context.transport_failure);
  }
  reply->details.push_back('}');
}

}  // namespace

uint32_t ErrorFlags(StreamError error) { return RowOf(error).flags; }

absl::string_view ResetReason(StreamError error) { return RowOf(error).reason; }

ErrorReply MapError(StreamError error, const ErrorContext& context) {
  const Row& row = RowOf(error);
  ErrorReply reply;
  reply.status = row.status;
  reply.flags = row.flags;
  reply.counter = row.counter;
  if (context.retries_exhausted) reply.flags |= kFlagRetryLimit;
  if (row.reason.empty()) {
    reply.details = std::string(row.details);
    reply.body = std::string(row.body);
  } else {
    DescribeAttempt(row, context, &reply);
  }
  switch (error) {
    case StreamError::kClusterNotFound:
      reply.status = context.cluster_not_found_status;
      break;
    case StreamError::kStreamIdleTimeout:
    case StreamError::kMaxDuration:
      if (!context.request_complete) reply.status = 408;
      break;
    case StreamError::kOverflow:
      reply.overloaded = true;
      break;
    default:
      break;
  }
  reply.grpc_status = row.grpc_status >= 0 ? row.grpc_status : GrpcStatusFromHttp(reply.status);
  return reply;
}

int GrpcStatusFromHttp(int http_status) {
  switch (http_status) {
    case 400:
      return kGrpcInternal;
    case 401:
      return kGrpcUnauthenticated;
    case 403:
      return kGrpcPermissionDenied;
    case 404:
      return kGrpcUnimplemented;
    case 429:
    case 502:
    case 503:
    case 504:
      return kGrpcUnavailable;
    default:
      return kGrpcUnknown;
  }
}

int HttpStatusFromGrpc(int grpc_status) {
  static constexpr std::array<int, 17> kStatus = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                                                  400, 409, 400, 501, 500, 503, 500, 401};
  if (grpc_status < 0 || grpc_status >= static_cast<int>(kStatus.size())) return 500;
  return kStatus[grpc_status];
}

bool IsGrpcContentType(absl::string_view content_type) {
  constexpr absl::string_view kGrpc = "application/grpc";
  if (!absl::StartsWithIgnoreCase(content_type, kGrpc)) return false;
  if (content_type.size() == kGrpc.size()) return true;
  const char next = content_type[kGrpc.size()];
  return next == '+' || next == ';' || next == ' ';
}

bool IsGrpcRequest(const http::HeaderMap& request) {
  return request.Has(HeaderId::kContentType) &&
         IsGrpcContentType(request.Get(HeaderId::kContentType));
}

std::string EncodeGrpcMessage(absl::string_view message) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(message.size());
  for (const char c : message) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte <= 0x7e && byte != '%') {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

LocalAnswer MakeLocalAnswer(int status, int grpc_status, absl::string_view body,
                            const http::HeaderMap* request, const http::HeaderMap* extra) {
  LocalAnswer answer{http::HeaderMap::New(), ""};
  http::HeaderMap& headers = *answer.headers;
  const bool grpc = request != nullptr && IsGrpcRequest(*request);
  headers.set_status(grpc ? 200 : status);
  if (extra != nullptr) {
    for (const http::HeaderMap::Entry& entry : extra->entries()) {
      // What describes the body is decided below.
      if (entry.id == HeaderId::kContentLength || (grpc && entry.id == HeaderId::kContentType)) {
        continue;
      }
      headers.Add(entry.name, entry.value);
    }
  }
  if (grpc) {
    const int code = grpc_status >= 0 ? grpc_status : GrpcStatusFromHttp(status);
    headers.Set(HeaderId::kContentType, "application/grpc");
    headers.Set(HeaderId::kGrpcStatus, absl::StrCat(code));
    if (!body.empty()) headers.Set(HeaderId::kGrpcMessage, EncodeGrpcMessage(body));
    return answer;
  }
  if (!body.empty()) {
    headers.Set(HeaderId::kContentLength, absl::StrCat(body.size()));
    if (!headers.Has(HeaderId::kContentType)) {
      headers.Add(HeaderId::kContentType, "text/plain");
    }
    if (request == nullptr || request->method() != "HEAD") answer.body = std::string(body);
  } else if (status >= 200 && status != 204 && status != 304) {
    headers.Set(HeaderId::kContentLength, "0");
  }
  return answer;
}

LocalAnswer MakeLocalAnswer(const ErrorReply& reply, const http::HeaderMap* request) {
  LocalAnswer answer =
      MakeLocalAnswer(reply.status, reply.grpc_status, reply.body, request, nullptr);
  if (reply.overloaded) answer.headers->Set(HeaderId::kXEnvoyOverloaded, "true");
  return answer;
}

}  // namespace meltemi::proxy
