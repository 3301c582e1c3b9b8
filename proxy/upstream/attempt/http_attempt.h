// One HTTP try at one host.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/bytes/buffer.h"
#include "base/http/stream.h"
#include "base/loop/loop.h"
#include "proxy/upstream/attempt/attempt_context.h"
#include "proxy/upstream/pool/pool.h"
#include "proxy/upstream/upstream.h"

namespace meltemi::proxy {

// Loop-owned. What the caller sees comes from the loop: facts that arise within Start, SendData …
// are kept as notices and told at the end of the turn, in order, before anything of the response.
//
//   waiting ──OnPoolReady──▶ streaming ──both directions over──▶ done
//      └── failed, cancelled ───────┴──────────────────────────▶ done
class HttpAttempt final : public Attempt, public http::StreamReceiver {
 public:
  HttpAttempt(AttemptHome& home, std::shared_ptr<const ClusterConfig> config,
              const AttemptOptions& options, AttemptEvents& events);
  ~HttpAttempt() override;
  // A free list of the thread: an attempt per request, so no allocation in the steady state.
  static void* operator new(size_t size);
  static void operator delete(void* memory, size_t size);

  // Exactly one of the two, once, right after construction.
  void Begin(std::shared_ptr<Host> host, Pool& pool);
  void BeginFailed(StreamError error, absl::string_view detail);

  // Attempt
  void SendData(Buffer& data, bool end_stream) override;
  void SendTrailers(const http::HeaderMap& trailers) override;
  void PauseReading(bool paused) override;
  void Cancel(StreamError cause) override;
  const Host* host() const override { return host_.get(); }
  std::shared_ptr<const TlsInfo> tls() const override;

  // http::StreamReceiver
  void OnInformational(http::HeaderMapPtr headers) override;
  void OnHeaders(http::HeaderMapPtr headers, bool end_stream) override;
  void OnData(Buffer& data, bool end_stream) override;
  void OnTrailers(http::HeaderMapPtr trailers) override;
  void OnReset(http::ResetCause cause, absl::string_view detail) override;
  void OnWriteBlocked(bool blocked) override;

 private:
  enum class State : uint8_t { kWaiting, kStreaming, kDone };

  class Waiter final : public PoolRequest {
   public:
    explicit Waiter(HttpAttempt& owner) : owner_(owner) {}
    void OnPoolReady(PooledConnection& connection) override { owner_.Attach(connection); }
    void OnPoolFailed(StreamError error, absl::string_view detail) override {
      owner_.Fail(error, detail);
    }

   private:
    HttpAttempt& owner_;
  };
  class NoticeTask final : public TurnEndTask {
   public:
    explicit NoticeTask(HttpAttempt& owner) : owner_(owner) {}
    void RunAtTurnEnd() override { owner_.TellNotices(); }

   private:
    HttpAttempt& owner_;
  };
  class User final : public ClusterUser {
   public:
    explicit User(HttpAttempt& owner) : owner_(owner) {}
    void OnClusterGone() override { owner_.OnClusterGone(); }

   private:
    HttpAttempt& owner_;
  };

  void Attach(PooledConnection& connection);
  void SendWhatWaits();
  // The attempt failed from below: told at the end of the turn.
  void Fail(StreamError error, absl::string_view detail);
  // The connection was lost before a byte of the answer came, on a connection that had served
  // others: the peer had most likely closed it already. True when the request is on its way again.
  bool RepeatOnFreshConnection(http::ResetCause cause);
  // False when the attempt was ended by whoever was told.
  bool TellNotices();
  void NoticeSoon();
  void EndResponse();
  // Gives back everything that is held of the cluster; the stream is over or reset.
  void Release();
  void OnClusterGone();
  void CountOutcome(const http::HeaderMap& headers);

  AttemptHome* home_;  // null once released
  const std::shared_ptr<const ClusterConfig> config_;
  AttemptEvents& events_;
  const http::HeaderMap& headers_;
  http::HeaderMap* const rewrite_authority_;
  std::shared_ptr<Host> host_;
  Pool* pool_ = nullptr;
  PooledConnection* connection_ = nullptr;
  http::Stream* stream_ = nullptr;
  User user_{*this};
  Waiter waiter_{*this};
  NoticeTask notice_task_{*this};

  State state_ = State::kWaiting;
  const bool headers_end_stream_;
  const bool is_retry_;
  const bool tunnel_;
  const bool high_priority_;
  bool end_sent_ = false;  // the request is complete
  bool response_begun_ = false;
  bool response_ended_ = false;
  bool repeated_ = false;
  bool counted_active_ = false;
  bool paused_ = false;
  bool queue_blocked_ =
      false;  // the caller was (or will be) told to pause by us, not by the stream
  MonotonicTime sent_at_{};

  // What waits for a connection.
  Buffer waiting_data_;
  http::HeaderMapPtr waiting_trailers_;

  // Notices, in the order in which they are told.
  bool tell_host_ = false;
  bool tell_sent_ = false;
  bool told_sent_ = false;
  std::optional<bool> tell_blocked_;
  StreamError tell_failed_ = StreamError::kNone;
  std::string failed_detail_;
};

}  // namespace meltemi::proxy
