// The way up: the upstream's answer or one of our own, through the filters to the client.
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proxy/observe/mesh_stats.h"
#include "proxy/route/rewrite.h"
#include "proxy/stream/forward.h"
#include "proxy/stream/response_headers.h"
#include "proxy/stream/stream.h"
#include "proxy/stream/stream_pool.h"

namespace meltemi::proxy {

using http::HeaderId;

// ---- The upstream's answer ----------------------------------------------------------------------

void Stream::OnUpstreamInformational(http::HeaderMapPtr headers) {
  if (downstream_ == nullptr || response_started_) return;
  Touch();
  // A 100 was said already, unless the upstream is to decide; others (103) pass.
  if (headers->status() == 100 && !runtime_->config.proxy_100_continue) return;
  if (*info_.protocol == http::Protocol::kHttp10) return;
  downstream_->SendInformational(*headers);
}

void Stream::OnUpstreamHeaders(http::HeaderMapPtr headers, bool end_stream) {
  if (downstream_ == nullptr) return;
  Touch();
  response_ = std::move(headers);
  info_.response_flags |= exchange_.retry_flags();
  info_.response_code_details = "via_upstream";
  if (!upgrade_.empty()) {
    const int status = response_->status();
    tunnel_open_ = !end_stream && (status == 101 || status == 200);
    if (tunnel_open_) {
      runtime_->stats.downstream_cx_upgrades_total.Inc();
      runtime_->stats.downstream_cx_upgrades_active.Inc();
      ConvertUpgradeResponse(*info_.protocol, upgrade_, *response_);
    }
  }
  FinishUpstreamHeaders(*response_);
  SendHeadersDown(end_stream);
}

void Stream::FinishUpstreamHeaders(http::HeaderMap& headers) {
  worker_.mesh_stats.OnResponseHeaders(headers, info_, runtime_->config.inbound);
  if (!runtime_->config.suppress_envoy_headers) {
    if (request_ended_) {
      const absl::AlphaNum ms(ToMillis(Now() - info_.request_complete));
      headers.Set(HeaderId::kXEnvoyUpstreamServiceTime, ms.Piece());
    }
    if (virtual_host_->include_attempt_count_response) {
      headers.Set(HeaderId::kXEnvoyAttemptCount, absl::StrCat(info_.attempts));
    }
  }
  for (const std::string& cookie : set_cookies_) headers.Add(HeaderId::kSetCookie, cookie);
  ApplyResponseChanges(*route_, picked_, *request_, headers, info_);
}

void Stream::OnUpstreamData(Buffer& data, bool end_stream) {
  if (downstream_ == nullptr || response_ended_) return;
  Touch();
  info_.bytes_sent += data.size();
  downstream_->SendData(data, end_stream);
  if (end_stream) ResponseEnded();
}

void Stream::OnUpstreamTrailers(http::HeaderMapPtr trailers) {
  if (downstream_ == nullptr || response_ended_) return;
  Touch();
  response_trailers_ = std::move(trailers);
  int status = 0;
  if (grpc_ && absl::SimpleAtoi(response_trailers_->Get(HeaderId::kGrpcStatus), &status)) {
    info_.grpc_status = status;
  }
  downstream_->SendTrailers(*response_trailers_);
  ResponseEnded();
}

void Stream::OnUpstreamFailed(StreamError error, absl::string_view detail) {
  if (state_ == State::kOver) return;
  info_.response_flags |= exchange_.retry_flags();
  Fail(error, detail);
}

void Stream::OnWriteBlocked(bool blocked) {
  // The codec says "go on" each time its transport has emptied.
  if (blocked == downstream_blocked_) return;
  downstream_blocked_ = blocked;
  exchange_.PauseReading(blocked);
}

// ---- Our own answers ----------------------------------------------------------------------------

void Stream::Fail(StreamError error, absl::string_view detail, int cluster_not_found_status) {
  ErrorContext context;
  context.transport_failure = detail;
  context.request_complete = request_ended_;
  context.retried = info_.attempts > 1;
  context.retries_exhausted = exchange_.retries_exhausted();
  context.cluster_not_found_status = cluster_not_found_status;
  ErrorReply reply = MapError(error, context);
  runtime_->stats.OnError(error);
  info_.response_flags |= reply.flags;
  if (!detail.empty()) info_.upstream_transport_failure = std::string(detail);
  exchange_.Cancel(error);
  if (response_started_) {
    info_.response_code_details = std::move(reply.details);
    runtime_->stats.rq_reset_after_downstream_response_started.Inc();
    return ResetDownstream(http::ResetCause::kLocal);
  }
  info_.response_code_details = reply.details;
  SendLocal(MakeLocalAnswer(reply, request_.get()));
}

void Stream::AnswerLocally(int status, int grpc_status, absl::string_view body,
                           absl::string_view details, const http::HeaderMap* extra) {
  info_.response_code_details = std::string(details);
  SendLocal(MakeLocalAnswer(status, grpc_status, body, request_.get(), extra));
}

void Stream::SendLocal(LocalAnswer answer) {
  if (downstream_ == nullptr || response_started_) return;
  exchange_.Cancel(StreamError::kLocalReset);
  mirrors_.clear();
  response_ = std::move(answer.headers);
  // As in Envoy, what a forwarding route does to responses it does to our own answers too.
  if (route_ != nullptr && route_->action == Route::Action::kForward) {
    ApplyResponseChanges(*route_, picked_, *request_, *response_, info_);
  }
  SendHeadersDown(answer.body.empty());
  if (answer.body.empty() || downstream_ == nullptr) return;
  info_.bytes_sent += answer.body.size();
  Buffer body(answer.body);
  downstream_->SendData(body, true);
  ResponseEnded();
}

void Stream::SendDirect() {
  info_.response_code_details = "direct_response";
  LocalAnswer answer =
      MakeLocalAnswer(route_->direct.status, -1, route_->direct.body, request_.get(), nullptr);
  ApplyResponseChanges(*route_, nullptr, *request_, *answer.headers, info_);
  SendLocal(std::move(answer));
}

void Stream::SendRedirect(int status, absl::string_view location, absl::string_view details) {
  info_.response_code_details = std::string(details);
  const http::HeaderMapPtr extra = http::HeaderMap::New();
  extra->Add(HeaderId::kLocation, location);
  LocalAnswer answer = MakeLocalAnswer(status, -1, "", request_.get(), extra.get());
  if (route_ != nullptr && route_->action == Route::Action::kRedirect) {
    ApplyResponseChanges(*route_, nullptr, *request_, *answer.headers, info_);
  }
  SendLocal(std::move(answer));
}

// ---- Both ---------------------------------------------------------------------------------------

void Stream::SendHeadersDown(bool end_stream) {
  for (size_t i = next_filter_; i-- > 0;) {
    if (filters_[i].filter != nullptr) filters_[i].filter->OnResponseHeaders(*response_);
  }
  FinishResponse(runtime_->config, request_.get(), pool_.date().At(loop().WallNow()), *response_);
  state_ = State::kResponding;
  response_started_ = true;
  info_.response_code = response_->status();
  info_.response_header_bytes = response_->byte_size();
  info_.downstream_first_tx = Now();
  int grpc_status = 0;
  if (grpc_ && response_->Has(HeaderId::kGrpcStatus) &&
      absl::SimpleAtoi(response_->Get(HeaderId::kGrpcStatus), &grpc_status)) {
    info_.grpc_status = grpc_status;
  }
  downstream_->SendHeaders(*response_, end_stream);
  if (end_stream) ResponseEnded();
}

void Stream::ResponseEnded() {
  response_ended_ = true;
  if (request_ended_) return Over();
  // A tunnel's two directions end each for itself.
  if (tunnel_open_) return;
  if (upgrade_.empty()) runtime_->stats.downstream_rq_response_before_rq_complete.Inc();
  // Nobody wants the rest of the request. HTTP/1's codec sees to the connection by itself.
  if (*info_.protocol == http::Protocol::kHttp2) return ResetDownstream(http::ResetCause::kLocal);
  Over();
}

}  // namespace meltemi::proxy
