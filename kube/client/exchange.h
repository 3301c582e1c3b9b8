// One request and its answer on a connection to an API server: a call that somebody waits for, or a
// watch.
//
// Loop-owned, but made on any thread. Destroying one that is not over ends it as a failure.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/http/stream.h"
#include "base/loop/loop.h"
#include "kube/client/client.h"

namespace meltemi::kube {

// As it goes out.
struct HttpRequest {
  std::string method, scheme, authority, target;
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case
  std::string body;
  Duration timeout = seconds(30);
};

// A Status of code 0: the way there has failed.
Status WayFailed(const HttpRequest& request, absl::string_view why);
// Of an answer other than 2xx.
Status RefusalOf(int code, absl::string_view body, int retry_after_seconds);

class Exchange : public Deferrable, private http::StreamReceiver {
 public:
  // The connection that carries it.
  class Carrier {
   public:
    virtual ~Carrier() = default;
    // It is over: nothing is called any more, and the exchange is deleted at the end of the turn.
    virtual void Release(Exchange* exchange) = 0;
    virtual void Lost(Exchange* exchange, http::ResetCause cause, absl::string_view detail) = 0;
  };

  explicit Exchange(HttpRequest request) : request_(std::move(request)) {}

  const HttpRequest& request() const { return request_; }
  http::StreamReceiver* receiver() { return this; }
  // Begins its time-out, once.
  void ArmTimeout(Loop& loop);
  // Waits for a connection.
  void SetCarrier(Carrier* carrier) { carrier_ = carrier; }
  // Sends the request. `reused`: others have been on this connection before.
  void Begin(http::Stream& stream, bool reused);
  // The connection is gone without telling its streams.
  void ForgetStream() { stream_ = nullptr; }

  // Whether the server can't have acted upon it, or acting twice does no harm; then it may be begun
  // once more.
  bool MayRepeat(http::ResetCause cause) const;
  void Repeat();

  // Ends it. Nothing follows.
  void Fail(absl::string_view why);
  void Cancel();

 protected:
  // Bytes of the answer are here.
  virtual void OnAnswer(int code, const http::HeaderMap& headers) = 0;
  // False: it is given up; it has told whom it may concern.
  virtual bool OnBody(absl::string_view bytes) = 0;
  virtual void OnEnd() = 0;
  // The last call. `why` is of code 0.
  virtual void OnFailed(const Status& why) = 0;

  Timer& timer() { return *timer_; }

 private:
  void OnHeaders(http::HeaderMapPtr headers, bool end_stream) final;
  void OnData(Buffer& data, bool end_stream) final;
  void OnTrailers(http::HeaderMapPtr) final { End(); }
  void OnReset(http::ResetCause cause, absl::string_view detail) final;
  void OnWriteBlocked(bool) final {}
  void End();

  const HttpRequest request_;
  Carrier* carrier_ = nullptr;
  http::Stream* stream_ = nullptr;
  std::unique_ptr<Timer> timer_;
  bool reused_ = false, answered_ = false, repeated_ = false, over_ = false;
};

// Where the waiting thread and the loop meet.
class CallWaiter {
 public:
  struct Answer {
    int code = 0;
    std::string body;
    int retry_after_seconds = 0;
    Status failure;  // with code 0
  };
  Answer Wait();
  // The first counts.
  void Set(Answer answer);

 private:
  std::mutex mutex_;
  std::condition_variable ready_;
  std::optional<Answer> answer_;  // guarded by mutex_
};

class CallExchange final : public Exchange {
 public:
  CallExchange(HttpRequest request, std::shared_ptr<CallWaiter> waiter, size_t bytes_max)
      : Exchange(std::move(request)), waiter_(std::move(waiter)), bytes_max_(bytes_max) {}
  ~CallExchange() override;

 private:
  void OnAnswer(int code, const http::HeaderMap& headers) override;
  bool OnBody(absl::string_view bytes) override;
  void OnEnd() override { waiter_->Set(std::move(answer_)); }
  void OnFailed(const Status& why) override { waiter_->Set({.failure = why}); }

  const std::shared_ptr<CallWaiter> waiter_;
  const size_t bytes_max_;
  CallWaiter::Answer answer_;
};

// What a watch and its owner share.
struct WatchState {
  // Held while the sink is called.
  std::mutex mutex;
  // Null once the owner has given it up: written with the mutex, or on the loop's thread, which is
  // the only one that reads it.
  WatchSink* sink = nullptr;
  Exchange* exchange = nullptr;  // loop-owned; null once it is over
};

class WatchExchange final : public Exchange {
 public:
  WatchExchange(HttpRequest request, std::shared_ptr<WatchState> state)
      : Exchange(std::move(request)), state_(std::move(state)) {
    state_->exchange = this;
  }
  ~WatchExchange() override;

  static constexpr size_t kLineBytesMax = 64 * 1024 * 1024;

 private:
  void OnAnswer(int code, const http::HeaderMap& headers) override;
  bool OnBody(absl::string_view bytes) override;
  void OnEnd() override;
  void OnFailed(const Status& why) override { TellEnd(why); }

  // False: the watch is over.
  bool OnLine(absl::string_view line);
  void TellEnd(const Status& why);

  const std::shared_ptr<WatchState> state_;
  int code_ = 0;
  std::string line_;  // as far as it is here; of a refusal: the body
  std::string type_;  // of an event: kept for its memory
};

}  // namespace meltemi::kube
