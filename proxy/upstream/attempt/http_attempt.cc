#include "proxy/upstream/attempt/http_attempt.h"

#include <iterator>
#include <new>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "base/log/log.h"
#include "proxy/upstream/attempt/idempotent.h"
#include "proxy/upstream/pool/pooled_connection.h"

namespace meltemi::proxy {
namespace {

// Memory of ended attempts, ready for the next ones.
class FreeList {
 public:
  ~FreeList() {
    for (void* memory : free_) ::operator delete(memory);
  }
  void* Take(size_t size) {
    if (free_.empty()) return ::operator new(size);
    void* memory = free_.back();
    free_.pop_back();
    return memory;
  }
  void Give(void* memory) {
    if (free_.size() >= kKeptMax) return ::operator delete(memory);
    free_.push_back(memory);
  }

 private:
  static constexpr size_t kKeptMax = 256;
  std::vector<void*> free_;
};
thread_local FreeList free_list;

StreamError ErrorOf(http::ResetCause cause) {
  switch (cause) {
    case http::ResetCause::kRemoteReset:
      return StreamError::kUpstreamReset;
    case http::ResetCause::kRemoteRefused:
      return StreamError::kUpstreamRefused;
    case http::ResetCause::kConnectionLost:
      return StreamError::kUpstreamTermination;
    case http::ResetCause::kProtocolError:
    case http::ResetCause::kLimit:
      return StreamError::kUpstreamProtocol;
    case http::ResetCause::kLocal:
      return StreamError::kLocalReset;
  }
  return StreamError::kInternal;
}

// As Envoy maps them; unknown numbers are failures.
int HttpStatusOfGrpc(absl::string_view grpc_status) {
  static constexpr int kStatuses[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
                                      400, 409, 400, 501, 500, 503, 500, 401};
  uint32_t number;
  if (!absl::SimpleAtoi(grpc_status, &number) || number >= std::size(kStatuses)) return 500;
  return kStatuses[number];
}

}  // namespace

void* HttpAttempt::operator new(size_t size) { return free_list.Take(size); }

void HttpAttempt::operator delete(void* memory, size_t) { free_list.Give(memory); }

HttpAttempt::HttpAttempt(AttemptHome& home, std::shared_ptr<const ClusterConfig> config,
                         const AttemptOptions& options, AttemptEvents& events)
    : home_(&home),
      config_(std::move(config)),
      events_(events),
      headers_(*options.headers),
      rewrite_authority_(options.rewrite_authority),
      headers_end_stream_(options.end_stream),
      is_retry_(options.is_retry),
      tunnel_(options.tunnel),
      high_priority_(options.high_priority),
      end_sent_(options.end_stream) {
  waiter_.high_priority = options.high_priority;
  home.AddUser(user_);
}

HttpAttempt::~HttpAttempt() {
  if (state_ != State::kDone) Cancel(StreamError::kDownstreamReset);
  if (home_ != nullptr) Release();
}

void HttpAttempt::Begin(std::shared_ptr<Host> host, Pool& pool) {
  host_ = std::move(host);
  pool_ = &pool;
  if (rewrite_authority_ != nullptr && !host_->config.hostname.empty()) {
    rewrite_authority_->set_authority(host_->config.hostname);
  }
  tell_host_ = true;
  NoticeSoon();
  const StreamError error = pool.Submit(waiter_);
  if (error != StreamError::kNone) Fail(error, "circuit breaker open");
}

void HttpAttempt::BeginFailed(StreamError error, absl::string_view detail) { Fail(error, detail); }

std::shared_ptr<const TlsInfo> HttpAttempt::tls() const {
  return connection_ == nullptr ? nullptr : connection_->tls_info();
}

void HttpAttempt::Attach(PooledConnection& connection) {
  state_ = State::kStreaming;
  connection_ = &connection;
  sent_at_ = home_->loop().Now();
  if (!counted_active_) {
    counted_active_ = true;
    home_->stats().Inc(ClusterCounter::kRqTotal);
    host_->requests_total.fetch_add(1, std::memory_order_relaxed);
    host_->requests_active.fetch_add(1, std::memory_order_relaxed);
    home_->breakers().Add(BreakerKind::kRequests, high_priority_);
    home_->stats().Add(ClusterGauge::kRqActive, 1);
  }
  stream_ = &connection.NewStream(this, tunnel_);
  stream_->SendHeaders(headers_, headers_end_stream_);
  if (paused_) stream_->PauseReading(true);
  SendWhatWaits();
  tell_sent_ = !told_sent_;
  if (queue_blocked_) {
    queue_blocked_ = false;
    tell_blocked_ = false;
  }
  if (tell_sent_ || tell_blocked_.has_value()) NoticeSoon();
}

void HttpAttempt::SendWhatWaits() {
  if (!waiting_data_.empty() ||
      (end_sent_ && !headers_end_stream_ && waiting_trailers_ == nullptr)) {
    stream_->SendData(waiting_data_, end_sent_ && waiting_trailers_ == nullptr);
  }
  if (waiting_trailers_ != nullptr) {
    stream_->SendTrailers(*waiting_trailers_);
    waiting_trailers_.reset();
  }
}

void HttpAttempt::SendData(Buffer& data, bool end_stream) {
  if (state_ == State::kDone || end_sent_) {
    data.Clear();
    return;
  }
  end_sent_ = end_stream;
  if (state_ == State::kStreaming) {
    stream_->SendData(data, end_stream);
    if (end_stream && response_ended_) Release();
    return;
  }
  waiting_data_.MoveFrom(data);
  if (waiting_data_.size() > config_->buffer_bytes_max && !queue_blocked_) {
    queue_blocked_ = true;
    tell_blocked_ = true;
    NoticeSoon();
  }
}

void HttpAttempt::SendTrailers(const http::HeaderMap& trailers) {
  if (state_ == State::kDone || end_sent_) return;
  end_sent_ = true;
  if (state_ == State::kStreaming) {
    stream_->SendTrailers(trailers);
    if (response_ended_) Release();
    return;
  }
  waiting_trailers_ = trailers.Clone();
}

void HttpAttempt::PauseReading(bool paused) {
  paused_ = paused;
  if (home_ != nullptr && state_ != State::kDone) {
    home_->stats().Inc(paused ? ClusterCounter::kFlowControlPaused
                              : ClusterCounter::kFlowControlResumed);
  }
  if (state_ == State::kStreaming && !response_ended_) stream_->PauseReading(paused);
}

void HttpAttempt::Cancel(StreamError cause) {
  tell_host_ = tell_sent_ = false;
  tell_blocked_.reset();
  tell_failed_ = StreamError::kNone;
  if (state_ == State::kDone) return;
  if (home_ != nullptr && host_ != nullptr) {
    ClusterStats& stats = home_->stats();
    if (cause == StreamError::kPerTryTimeout) stats.Inc(ClusterCounter::kRqPerTryTimeout);
    if (cause == StreamError::kPerTryIdleTimeout) stats.Inc(ClusterCounter::kRqPerTryIdleTimeout);
    if (cause == StreamError::kRequestTimeout) stats.Inc(ClusterCounter::kRqTimeout);
    const bool host_is_to_blame = cause == StreamError::kPerTryTimeout ||
                                  cause == StreamError::kPerTryIdleTimeout ||
                                  cause == StreamError::kRequestTimeout;
    if (host_is_to_blame) {
      host_->timeouts.fetch_add(1, std::memory_order_relaxed);
      if (!response_begun_) {
        stats.CountResponse(504);
        home_->ReportOutcome(*host_, 0, cause);
      }
    }
    if (!response_ended_) host_->requests_error.fetch_add(1, std::memory_order_relaxed);
  }
  if (state_ == State::kStreaming && home_ != nullptr) {
    // A response that is over while the request goes on is an end in order.
    if (!response_ended_) home_->stats().Inc(ClusterCounter::kRqTxReset);
    stream_->Reset(http::ResetCause::kLocal);
    connection_->SettleSoon();
  }
  Release();
}

void HttpAttempt::OnInformational(http::HeaderMapPtr headers) {
  if (!TellNotices()) return;
  events_.OnAttemptInformational(std::move(headers));
}

void HttpAttempt::OnHeaders(http::HeaderMapPtr headers, bool end_stream) {
  if (!TellNotices()) return;
  response_begun_ = true;
  CountOutcome(*headers);
  if (end_stream) EndResponse();
  events_.OnAttemptHeaders(std::move(headers), end_stream);
}

void HttpAttempt::OnData(Buffer& data, bool end_stream) {
  if (end_stream) EndResponse();
  events_.OnAttemptData(data, end_stream);
}

void HttpAttempt::OnTrailers(http::HeaderMapPtr trailers) {
  EndResponse();
  events_.OnAttemptTrailers(std::move(trailers));
}

void HttpAttempt::EndResponse() {
  response_ended_ = true;
  home_->stats().RecordMs(ClusterHistogram::kRqTime, home_->loop().Now() - sent_at_);
  if (end_sent_) Release();
}

void HttpAttempt::OnWriteBlocked(bool blocked) {
  if (!TellNotices()) return;
  events_.OnAttemptWriteBlocked(blocked);
}

void HttpAttempt::OnReset(http::ResetCause cause, absl::string_view detail) {
  if (state_ == State::kDone) return;
  if (response_ended_) {
    // Only the rest of the request is lost, and nobody waits for it.
    Release();
    return;
  }
  if (RepeatOnFreshConnection(cause)) return;
  home_->stats().Inc(ClusterCounter::kRqRxReset);
  Fail(ErrorOf(cause), detail);
}

bool HttpAttempt::RepeatOnFreshConnection(http::ResetCause cause) {
  if (cause != http::ResetCause::kConnectionLost || repeated_ || response_begun_ || tunnel_ ||
      !headers_end_stream_ || !connection_->reused() || pool_->draining() ||
      !IsIdempotent(headers_.method())) {
    return false;
  }
  repeated_ = true;
  stream_ = nullptr;
  connection_ = nullptr;
  state_ = State::kWaiting;
  waiter_.fresh_connection = true;
  home_->stats().Inc(ClusterCounter::kRqStaleRepeat);
  const StreamError error = pool_->Submit(waiter_);
  if (error != StreamError::kNone) Fail(error, "circuit breaker open");
  return true;
}

void HttpAttempt::Fail(StreamError error, absl::string_view detail) {
  if (!response_begun_) home_->stats().CountResponse(503);
  if (host_ != nullptr && error != StreamError::kOverflow) {
    host_->requests_error.fetch_add(1, std::memory_order_relaxed);
    if (!response_begun_) home_->ReportOutcome(*host_, 0, error);
  }
  tell_failed_ = error;
  failed_detail_.assign(detail.data(), detail.size());
  AttemptHome* home = home_;
  Release();
  home->loop().AtTurnEnd(&notice_task_);
}

void HttpAttempt::CountOutcome(const http::HeaderMap& headers) {
  const int status = headers.status();
  home_->stats().CountResponse(status);
  // An answer that is nothing but a gRPC status counts as that.
  const absl::string_view grpc_status = headers.Get(http::HeaderId::kGrpcStatus);
  home_->ReportOutcome(*host_, grpc_status.empty() ? status : HttpStatusOfGrpc(grpc_status),
                       StreamError::kNone);
  if (status < 500) {
    host_->requests_success.fetch_add(1, std::memory_order_relaxed);
    if (is_retry_) home_->stats().Inc(ClusterCounter::kRqRetrySuccess);
  } else {
    host_->requests_error.fetch_add(1, std::memory_order_relaxed);
  }
}

void HttpAttempt::NoticeSoon() { home_->loop().AtTurnEnd(&notice_task_); }

bool HttpAttempt::TellNotices() {
  // The caller may end the attempt in any of these calls, but deletes it deferred.
  if (std::exchange(tell_host_, false)) events_.OnAttemptHost(*host_);
  if (std::exchange(tell_sent_, false)) {
    told_sent_ = true;
    if (connection_ != nullptr) {
      events_.OnAttemptSent(connection_->local_address(), connection_->protocol());
    }
  }
  if (tell_blocked_.has_value()) {
    const bool blocked = *std::exchange(tell_blocked_, std::nullopt);
    if (state_ != State::kDone) events_.OnAttemptWriteBlocked(blocked);
  }
  if (tell_failed_ != StreamError::kNone) {
    events_.OnAttemptFailed(std::exchange(tell_failed_, StreamError::kNone), failed_detail_);
  }
  return state_ != State::kDone;
}

void HttpAttempt::Release() {
  state_ = State::kDone;
  waiting_data_.Clear();
  waiting_trailers_.reset();
  AttemptHome* home = std::exchange(home_, nullptr);
  if (home == nullptr) return;
  if (waiter_.queued()) pool_->Withdraw(waiter_);
  if (counted_active_) {
    host_->requests_active.fetch_sub(1, std::memory_order_relaxed);
    home->breakers().Remove(BreakerKind::kRequests, high_priority_);
    home->stats().Add(ClusterGauge::kRqActive, -1);
  }
  home->RemoveUser(user_);
}

void HttpAttempt::OnClusterGone() {
  // The codec resets its streams when its connection dies; here only our side is ended.
  home_ = nullptr;
  state_ = State::kDone;
}

}  // namespace meltemi::proxy
