// How a stream ends: time-outs, resets, and its account in logs and statistics.
#include <memory>
#include <utility>

#include "proxy/observe/access_log.h"
#include "proxy/observe/mesh_stats.h"
#include "proxy/stream/stream.h"
#include "proxy/stream/stream_pool.h"

namespace meltemi::proxy {

Stream::Stream(WorkerContext& worker, StreamPool& pool)
    : worker_(worker), pool_(pool), exchange_(worker, *this, info_) {}

Stream::~Stream() = default;

// ---- Time-outs ----------------------------------------------------------------------------------

void Stream::ArmTimers() {
  const HttpConfig& config = runtime_->config;
  idle_timeout_ = config.stream_idle_timeout;
  Touch();
  if (config.max_stream_duration.has_value()) ArmMaxDuration(*config.max_stream_duration);
  if (config.request_timeout > Duration(0)) {
    if (request_timer_ == nullptr) {
      request_timer_ = loop().NewTimer([this] { OnRequestTimeout(); });
    }
    request_timer_->Arm(config.request_timeout);
  }
}

// 0: none, also where the connection manager has one.
void Stream::ArmMaxDuration(Duration after) {
  if (after <= Duration(0)) {
    if (max_timer_ != nullptr) max_timer_->Disarm();
    return;
  }
  if (max_timer_ == nullptr) max_timer_ = loop().NewTimer([this] { OnMaxDuration(); });
  max_timer_->Arm(after);
}

// Something moved on the stream.
void Stream::Touch() {
  if (idle_timeout_ <= Duration(0)) {
    if (idle_timer_ != nullptr) idle_timer_->Disarm();
    return;
  }
  if (idle_timer_ == nullptr) idle_timer_ = loop().NewTimer([this] { OnIdle(); });
  idle_timer_->Arm(idle_timeout_);
}

void Stream::OnIdle() {
  if (state_ != State::kOver) Fail(StreamError::kStreamIdleTimeout);
}

void Stream::OnMaxDuration() {
  if (state_ != State::kOver) Fail(StreamError::kMaxDuration);
}

// The request has not arrived whole in its time.
void Stream::OnRequestTimeout() {
  if (state_ == State::kOver || request_ended_) return;
  runtime_->stats.downstream_rq_timeout.Inc();
  if (response_started_) {
    info_.response_code_details = "request_overall_timeout";
    return ResetDownstream(http::ResetCause::kLocal);
  }
  AnswerLocally(408, -1, "request timeout", "request_overall_timeout");
}

void Stream::StopTimers() {
  for (Timer* timer : {idle_timer_.get(), max_timer_.get(), request_timer_.get()}) {
    if (timer != nullptr) timer->Disarm();
  }
}

// ---- Resets -------------------------------------------------------------------------------------

void Stream::OnReset(http::ResetCause cause, absl::string_view detail) {
  downstream_ = nullptr;
  if (state_ == State::kOver) return;
  const bool ours = cause == http::ResetCause::kProtocolError || cause == http::ResetCause::kLimit;
  const StreamError error = ours ? StreamError::kDownstreamProtocol : StreamError::kDownstreamReset;
  runtime_->stats.OnError(error);
  info_.response_flags |= ErrorFlags(error);
  if (!ours) {
    info_.response_code_details = cause == http::ResetCause::kConnectionLost
                                      ? "downstream_remote_disconnect"
                                      : "downstream_remote_reset";
  } else {
    info_.response_code_details = std::string(detail);
  }
  exchange_.Cancel(StreamError::kDownstreamReset);
  Over();
}

void Stream::ResetDownstream(http::ResetCause cause) {
  http::Stream* downstream = std::exchange(downstream_, nullptr);
  if (downstream != nullptr) {
    if (!response_ended_) runtime_->stats.downstream_rq_tx_reset.Inc();
    downstream->Reset(cause);
  }
  Over();
}

// Nothing more will be taken or sent. The codec's OnStreamFinished leads to End().
void Stream::Over() {
  if (state_ == State::kOver) return;
  state_ = State::kOver;
  StopTimers();
  exchange_.Cancel(StreamError::kDownstreamReset);
  mirrors_.clear();
  EndFilters();
}

void Stream::EndFilters() {
  for (const FilterSlot& slot : filters_) {
    if (slot.filter != nullptr) slot.filter->OnEnd();
  }
}

// ---- The account --------------------------------------------------------------------------------

void Stream::End() {
  if (ended_) return;
  ended_ = true;
  downstream_ = nullptr;
  Over();
  info_.end = Now();
  CountEnd();
  for (const auto& log : runtime_->config.access_logs) {
    log->Write(request_.get(), response_.get(), response_trailers_.get(), info_);
  }
}

void Stream::CountEnd() {
  HttpStats& stats = runtime_->stats;
  stats.OnRequestEnd(info_.response_code, info_.end - info_.start);
  if (tunnel_open_) stats.downstream_cx_upgrades_active.Dec();
  if (runtime_->listener_stats != nullptr) {
    runtime_->listener_stats->OnResponse(info_.response_code);
  }
  worker_.mesh_stats.OnStreamEnd(request_.get(), info_, runtime_->config.inbound);
}

void Stream::Recycle() {
  exchange_.Recycle();
  StopTimers();
  filters_.clear();
  next_filter_ = 0;
  in_filter_ = false;
  filter_reply_.reset();
  held_body_.Clear();
  held_trailers_.reset();
  mirrors_.clear();
  request_.reset();
  response_.reset();
  response_trailers_.reset();
  route_ = nullptr;
  virtual_host_ = nullptr;
  picked_ = nullptr;
  routes_.reset();
  upgrade_.clear();
  set_cookies_.clear();
  grpc_ = request_ended_ = response_started_ = response_ended_ = tunnel_open_ = false;
  downstream_blocked_ = false;
  paused_for_ = 0;
  peer_ = nullptr;
  // Built anew in its place: assigning would move some thirty fields for nothing.
  std::destroy_at(&info_);
  std::construct_at(&info_);
  runtime_.reset();
  state_ = State::kFree;
}

}  // namespace meltemi::proxy
