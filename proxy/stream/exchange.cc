#include "proxy/stream/exchange.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "proxy/observe/stream_info.h"
#include "proxy/upstream/cluster/cluster_config.h"
#include "proxy/upstream/cluster/host.h"

namespace meltemi::proxy {

using http::HeaderId;

Exchange::Exchange(WorkerContext& worker, ExchangeEvents& events, StreamInfo& info)
    : worker_(worker), events_(events), info_(info) {}

Exchange::~Exchange() = default;

// ---- Starting and trying ------------------------------------------------------------------------

bool Exchange::Start(ExchangeOptions options) {
  DCHECK(state_ == State::kIdle);
  options_ = std::move(options);
  request_ended_ = options_.end_stream;
  // Also without a policy: the request's own x-envoy-retry-on counts, and must be taken out.
  retry_.emplace(options_.retry, *options_.request);
  keeping_ = retry_->enabled() && !options_.tunnel && !request_ended_;
  state_ = State::kTrying;
  if (!StartAttempt()) {
    state_ = State::kOver;
    return false;
  }
  if (request_ended_) RequestEnded();
  return true;
}

bool Exchange::StartAttempt() {
  WorkerCluster* cluster = worker_.clusters.Find(options_.cluster);
  if (cluster == nullptr) return false;
  state_ = State::kTrying;
  sent_ = false;
  ++info_.attempts;
  PrepareAttempt(*cluster);
  AttemptOptions attempt;
  attempt.headers = options_.request;
  attempt.end_stream = request_ended_ && kept_.empty() && kept_trailers_ == nullptr;
  attempt.is_retry = info_.attempts > 1;
  attempt.high_priority = options_.high_priority;
  attempt.tunnel = options_.tunnel;
  attempt.alpn = options_.alpn;
  attempt.rewrite_authority = options_.auto_authority ? options_.request : nullptr;
  attempt.balance = options_.balance;
  attempt.balance.tried = retry_->tried();
  attempt.balance.host_selection_tries = retry_->host_selection_tries();
  attempt_ = cluster->Start(attempt, *this);
  attempt_live_ = true;
  if (reading_paused_) attempt_->PauseReading(true);
  ReplayBody();
  return true;
}

void Exchange::PrepareAttempt(const WorkerCluster& cluster) {
  if (cluster_config_.get() != &cluster.config()) cluster_config_ = cluster.shared_config();
  info_.cluster = cluster_config_.get();
  info_.upstream_host = nullptr;
  info_.upstream_tls = nullptr;
  if (options_.convert_upgrade) {
    http::Protocol protocol = options_.balance.downstream_protocol;
    if (cluster_config_->protocol == UpstreamProtocol::kHttp1 ||
        cluster_config_->protocol == UpstreamProtocol::kByAlpn) {
      protocol = http::Protocol::kHttp11;
    }
    if (cluster_config_->protocol == UpstreamProtocol::kHttp2) protocol = http::Protocol::kHttp2;
    ConvertUpgradeRequest(protocol, worker_.random, *options_.request);
  }
  if (options_.count_attempts_in_request) {
    options_.request->Set(HeaderId::kXEnvoyAttemptCount, absl::StrCat(info_.attempts));
  }
}

void Exchange::ReplayBody() {
  if (kept_.empty() && kept_trailers_ == nullptr) return;
  const bool ends_here = request_ended_ && kept_trailers_ == nullptr;
  if (!kept_.empty() || ends_here) {
    Buffer copy;
    copy.CopyFrom(kept_);
    attempt_->SendData(copy, ends_here);
  }
  if (kept_trailers_ != nullptr) attempt_->SendTrailers(*kept_trailers_);
}

void Exchange::OnAttemptHost(const Host& host) {
  info_.upstream_host = &host;
  retry_->OnAttemptHost(host);
}

void Exchange::OnAttemptSent(const net::Address& local, http::Protocol protocol) {
  sent_ = true;
  info_.upstream_local = local;
  info_.upstream_protocol = protocol;
  if (attempt_ != nullptr) info_.upstream_tls = attempt_->tls();
  info_.upstream_first_tx = worker_.loop.Now();
  if (request_ended_) info_.upstream_last_tx = info_.upstream_first_tx;
  if (request_ended_ && state_ == State::kTrying) ArmPerTryTimers();
}

// Envoy's: from when the whole request is on its way on a connection.
void Exchange::ArmPerTryTimers() {
  if (options_.timeouts.per_try > Duration(0)) {
    if (per_try_timer_ == nullptr) {
      per_try_timer_ =
          worker_.loop.NewTimer([this] { OnPerTryTimeout(StreamError::kPerTryTimeout); });
    }
    per_try_timer_->Arm(options_.timeouts.per_try);
  }
  if (options_.timeouts.per_try_idle > Duration(0)) {
    if (per_try_idle_timer_ == nullptr) {
      per_try_idle_timer_ =
          worker_.loop.NewTimer([this] { OnPerTryTimeout(StreamError::kPerTryIdleTimeout); });
    }
    per_try_idle_timer_->Arm(options_.timeouts.per_try_idle);
  }
}

// ---- The request's body -------------------------------------------------------------------------

void Exchange::Keep(const Buffer& data) {
  if (!keeping_) return;
  if (state_ != State::kBackOff && kept_.size() + data.size() > options_.replay_bytes_max) {
    // Too long to be sent again: from now on this attempt is the only one.
    keeping_ = false;
    kept_.Clear();
    return;
  }
  kept_.CopyFrom(data);
}

void Exchange::SendData(Buffer& data, bool end_stream) {
  if (state_ == State::kOver) return;
  Keep(data);
  if (end_stream) request_ended_ = true;
  if (attempt_live_) attempt_->SendData(data, end_stream);
  if (end_stream) RequestEnded();
}

void Exchange::SendTrailers(const http::HeaderMap& trailers) {
  if (state_ == State::kOver) return;
  request_ended_ = true;
  if (keeping_) kept_trailers_ = trailers.Clone();
  if (attempt_live_) attempt_->SendTrailers(trailers);
  RequestEnded();
}

// From here the route's time-out runs, and that of the attempt which has the whole request.
void Exchange::RequestEnded() {
  if (options_.timeouts.request > Duration(0) && !options_.tunnel) {
    if (request_timer_ == nullptr) {
      request_timer_ = worker_.loop.NewTimer([this] { OnRequestTimeout(); });
    }
    request_timer_->Arm(options_.timeouts.request);
  }
  if (sent_ && state_ == State::kTrying) {
    info_.upstream_last_tx = worker_.loop.Now();
    ArmPerTryTimers();
  }
}

void Exchange::PauseReading(bool paused) {
  reading_paused_ = paused;
  if (attempt_live_) attempt_->PauseReading(paused);
}

void Exchange::OnAttemptWriteBlocked(bool blocked) {
  if (state_ == State::kTrying || state_ == State::kAnswering) SetBlocked(blocked);
}

void Exchange::SetBlocked(bool blocked) {
  if (blocked == blocked_) return;
  blocked_ = blocked;
  events_.OnUpstreamBlocked(blocked);
}

// ---- The answer ---------------------------------------------------------------------------------

void Exchange::OnAttemptInformational(http::HeaderMapPtr headers) {
  if (state_ == State::kTrying) events_.OnUpstreamInformational(std::move(headers));
}

void Exchange::OnAttemptHeaders(http::HeaderMapPtr headers, bool end_stream) {
  info_.upstream_first_rx = worker_.loop.Now();
  if (end_stream) info_.upstream_last_rx = info_.upstream_first_rx;
  if (retry_->enabled() || retry_->retries_done() > 0) {
    const RetryVerdict verdict = retry_->OnResponseHeaders(*headers, [this] { return TryRetry(); });
    if (Retry(verdict)) return;
  }
  state_ = State::kAnswering;
  keeping_ = false;
  kept_.Clear();
  kept_trailers_.reset();
  if (per_try_timer_ != nullptr) per_try_timer_->Disarm();
  if (per_try_idle_timer_ != nullptr && per_try_idle_timer_->armed()) {
    per_try_idle_timer_->Arm(options_.timeouts.per_try_idle);
  }
  if (end_stream) AnswerEnded();
  events_.OnUpstreamHeaders(std::move(headers), end_stream);
}

void Exchange::OnAttemptData(Buffer& data, bool end_stream) {
  if (state_ != State::kAnswering) return;
  if (per_try_idle_timer_ != nullptr && per_try_idle_timer_->armed()) {
    per_try_idle_timer_->Arm(options_.timeouts.per_try_idle);
  }
  if (end_stream) {
    info_.upstream_last_rx = worker_.loop.Now();
    AnswerEnded();
  }
  events_.OnUpstreamData(data, end_stream);
}

void Exchange::OnAttemptTrailers(http::HeaderMapPtr trailers) {
  if (state_ != State::kAnswering) return;
  info_.upstream_last_rx = worker_.loop.Now();
  AnswerEnded();
  events_.OnUpstreamTrailers(std::move(trailers));
}

// A tunnel's other direction may go on; otherwise the stream decides what becomes of an unfinished
// request.
void Exchange::AnswerEnded() {
  StopTimers();
  if (request_ended_) attempt_live_ = false;
  if (request_ended_ || !options_.tunnel) state_ = State::kOver;
}

// ---- Failure, retries, time-outs ----------------------------------------------------------------

RetryPermit Exchange::TryRetry() {
  WorkerCluster* cluster = worker_.clusters.Find(options_.cluster);
  return cluster == nullptr ? RetryPermit() : cluster->TryRetry(options_.high_priority);
}

// True when another attempt will be made.
bool Exchange::Retry(RetryVerdict verdict) {
  switch (verdict) {
    case RetryVerdict::kNo:
      return false;
    case RetryVerdict::kLimitExceeded: {
      retry_flags_ |= kFlagRetryLimit;
      WorkerCluster* cluster = worker_.clusters.Find(options_.cluster);
      if (cluster != nullptr) cluster->CountRetryLimitExceeded();
      return false;
    }
    case RetryVerdict::kOverflow:
      retry_flags_ |= kFlagUpstreamOverflow;
      return false;
    case RetryVerdict::kRetry:
      break;
  }
  // What has been sent of the body and not been kept can't be sent again.
  const bool body_lost = !keeping_ && !options_.end_stream;
  if (body_lost || options_.tunnel) return false;
  BackOff();
  return true;
}

void Exchange::BackOff() {
  DropAttempt(StreamError::kNone);
  state_ = State::kBackOff;
  if (per_try_timer_ != nullptr) per_try_timer_->Disarm();
  if (per_try_idle_timer_ != nullptr) per_try_idle_timer_->Disarm();
  if (!request_ended_) SetBlocked(true);
  if (back_off_timer_ == nullptr) {
    back_off_timer_ = worker_.loop.NewTimer([this] { OnBackOffOver(); });
  }
  back_off_timer_->Arm(retry_->NextBackoff(worker_.random));
}

void Exchange::OnBackOffOver() {
  if (state_ != State::kBackOff) return;
  if (!StartAttempt()) return Fail(StreamError::kClusterNotFound, "");
  SetBlocked(false);
}

void Exchange::OnAttemptFailed(StreamError error, absl::string_view detail) {
  attempt_live_ = false;
  if (state_ == State::kOver) return;
  if (state_ == State::kTrying) {
    const RetryVerdict verdict =
        retry_->OnAttemptFailed(error, sent_, [this] { return TryRetry(); });
    if (Retry(verdict)) return;
  }
  Fail(error, detail);
}

void Exchange::OnPerTryTimeout(StreamError error) {
  if (state_ != State::kTrying && state_ != State::kAnswering) return;
  CancelAttempt(error);
  if (state_ == State::kTrying) {
    const RetryVerdict verdict =
        retry_->OnAttemptFailed(error, sent_, [this] { return TryRetry(); });
    if (Retry(verdict)) return;
  }
  Fail(error, "");
}

void Exchange::OnRequestTimeout() {
  if (state_ == State::kOver || state_ == State::kIdle) return;
  CancelAttempt(StreamError::kRequestTimeout);
  Fail(StreamError::kRequestTimeout, "");
}

void Exchange::Fail(StreamError error, absl::string_view detail) {
  state_ = State::kOver;
  StopTimers();
  events_.OnUpstreamFailed(error, detail);
}

// ---- The end ------------------------------------------------------------------------------------

void Exchange::Cancel(StreamError cause) {
  if (state_ == State::kIdle) return;
  CancelAttempt(cause);
  if (state_ == State::kOver) return;
  state_ = State::kOver;
  StopTimers();
}

void Exchange::CancelAttempt(StreamError cause) {
  if (!attempt_live_) return;
  attempt_live_ = false;
  attempt_->Cancel(cause);
}

// The host that info_ names may die with the attempt.
void Exchange::DropAttempt(StreamError cause) {
  if (attempt_ == nullptr) return;
  CancelAttempt(cause);
  info_.upstream_host = nullptr;
  worker_.loop.DeferDelete(std::move(attempt_));
}

void Exchange::StopTimers() {
  for (Timer* timer : {request_timer_.get(), per_try_timer_.get(), per_try_idle_timer_.get(),
                       back_off_timer_.get()}) {
    if (timer != nullptr) timer->Disarm();
  }
}

void Exchange::Recycle() {
  Cancel(StreamError::kNone);
  if (attempt_ != nullptr) worker_.loop.DeferDelete(std::move(attempt_));
  info_.upstream_host = nullptr;
  info_.cluster = nullptr;
  retry_.reset();
  // cluster_config_ stays: the next request most likely goes to the same cluster, and counting a
  // reference that all workers share is dear.
  kept_.Clear();
  kept_trailers_.reset();
  sent_ = request_ended_ = reading_paused_ = blocked_ = keeping_ = false;
  retry_flags_ = 0;
  options_.request = nullptr;  // Start sets all of it
  state_ = State::kIdle;
}

}  // namespace meltemi::proxy
