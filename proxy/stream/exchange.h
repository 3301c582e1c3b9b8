// A stream's exchange with its cluster: one attempt after the other until one answer is passed on.
//
// Loop-owned, part of a Stream and recycled with it.
//
//            Start                     bad answer, failure, per-try time-out; the policy allows
// more
//   kIdle ----------> kTrying ---------------------------------------------------> kBackOff
//                      |    ^                                                          |
//                      |    +----------------------------------------------------------+ timer
//                      | headers of an answer that stands         time-out, failure, Cancel
//                      v                                          (from every state)
//                   kAnswering ------------------------------------------------> kOver
//                                       its end
//
// Nothing is told to the stream from within a call that the stream makes, except by Start when
// there is no cluster (it says so by its result).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/strings/string_view.h"
#include "base/bytes/buffer.h"
#include "base/http/header_map.h"
#include "base/loop/loop.h"
#include "proxy/connection/worker_context.h"
#include "proxy/route/route.h"
#include "proxy/stream/forward.h"
#include "proxy/stream/reply/stream_error.h"
#include "proxy/upstream/attempt/retry_state.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

struct StreamInfo;

class ExchangeEvents {
 public:
  virtual ~ExchangeEvents() = default;
  virtual void OnUpstreamInformational(http::HeaderMapPtr headers) = 0;
  // The answer that stands. Once.
  virtual void OnUpstreamHeaders(http::HeaderMapPtr headers, bool end_stream) = 0;
  virtual void OnUpstreamData(Buffer& data, bool end_stream) = 0;
  virtual void OnUpstreamTrailers(http::HeaderMapPtr trailers) = 0;
  // No answer, or it broke off. Last call.
  virtual void OnUpstreamFailed(StreamError error, absl::string_view detail) = 0;
  // More of the request's body can't be taken now (true), or can again.
  virtual void OnUpstreamBlocked(bool blocked) = 0;
};

struct ExchangeOptions {
  absl::string_view cluster;  // name; lives as long as the exchange
  http::HeaderMap* request =
      nullptr;              // lives as long as the exchange; the attempt count is set in it
  bool end_stream = false;  // no body follows
  bool tunnel = false;
  bool convert_upgrade = false;  // an HTTP/1.1 or HTTP/2 upgrade: write it as the cluster wants
  bool auto_authority = false;
  const std::shared_ptr<const AlpnOverride>* alpn = nullptr;  // lives as long as the exchange
  bool high_priority = false;
  bool count_attempts_in_request = false;  // x-envoy-attempt-count
  const RetryPolicy* retry = nullptr;      // lives as long as the exchange
  ForwardTimeouts timeouts;
  size_t replay_bytes_max = 0;  // of the body, kept for retries
  BalanceContext balance;
};

class Exchange final : public AttemptEvents {
 public:
  Exchange(WorkerContext& worker, ExchangeEvents& events, StreamInfo& info);
  ~Exchange() override;

  // False: there is no such cluster.
  bool Start(ExchangeOptions options);
  bool started() const { return state_ != State::kIdle; }
  bool over() const { return state_ == State::kOver; }
  void SendData(Buffer& data, bool end_stream);
  void SendTrailers(const http::HeaderMap& trailers);
  void PauseReading(bool paused);
  // Ends it without further events.
  void Cancel(StreamError cause);
  // Retry flags (URX, UO) of the answer or failure that was passed on.
  uint32_t retry_flags() const { return retry_flags_; }
  bool retries_exhausted() const { return (retry_flags_ & kFlagRetryLimit) != 0; }

  // Back to kIdle, with all that was held given back.
  void Recycle();

 private:
  enum class State : uint8_t { kIdle, kTrying, kBackOff, kAnswering, kOver };
  struct Timers;

  // AttemptEvents
  void OnAttemptHost(const Host& host) override;
  void OnAttemptSent(const net::Address& local, http::Protocol protocol) override;
  void OnAttemptInformational(http::HeaderMapPtr headers) override;
  void OnAttemptHeaders(http::HeaderMapPtr headers, bool end_stream) override;
  void OnAttemptData(Buffer& data, bool end_stream) override;
  void OnAttemptTrailers(http::HeaderMapPtr trailers) override;
  void OnAttemptFailed(StreamError error, absl::string_view detail) override;
  void OnAttemptWriteBlocked(bool blocked) override;

  bool StartAttempt();
  void PrepareAttempt(const WorkerCluster& cluster);
  void ReplayBody();
  void Keep(const Buffer& data);
  void RequestEnded();
  void ArmPerTryTimers();
  void AnswerEnded();
  bool Retry(RetryVerdict verdict);
  void BackOff();
  void OnBackOffOver();
  void OnPerTryTimeout(StreamError error);
  void OnRequestTimeout();
  void Fail(StreamError error, absl::string_view detail);
  void SetBlocked(bool blocked);
  void CancelAttempt(StreamError cause);
  void DropAttempt(StreamError cause);
  void StopTimers();
  RetryPermit TryRetry();

  WorkerContext& worker_;
  ExchangeEvents& events_;
  StreamInfo& info_;

  State state_ = State::kIdle;
  ExchangeOptions options_;
  std::optional<RetryState> retry_;
  std::unique_ptr<Attempt> attempt_;
  std::shared_ptr<const ClusterConfig> cluster_config_;  // what info_.cluster points to
  bool attempt_live_ = false;                            // more may be said by and to attempt_
  bool sent_ = false;                                    // OnAttemptSent came for this attempt
  bool request_ended_ = false;
  bool reading_paused_ = false;
  bool blocked_ = false;  // told to the stream
  bool keeping_ = false;  // the body is kept for retries
  Buffer kept_;
  http::HeaderMapPtr kept_trailers_;
  uint32_t retry_flags_ = 0;

  // Made at first use, kept over recycling.
  std::unique_ptr<Timer> request_timer_, per_try_timer_, per_try_idle_timer_, back_off_timer_;
};

}  // namespace meltemi::proxy
