// Calls that tell their end later, of one client: kept until they have, cancelled when it goes.
//
// Threads: thread-safe. Source: gRPC C++'s callback API.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <utility>

#include "absl/status/status.h"
#include "base/clock/clock.h"

namespace meltemi::kubelet {

absl::Status FromGrpc(const grpc::Status& status);
// 0: none.
void SetDeadline(grpc::ClientContext& context, Duration timeout);

class PendingCalls final {
 public:
  // Cancels all and returns when each of them has told its end.
  ~PendingCalls() {
    std::unique_lock<std::mutex> lock(mutex_);
    closed_ = true;
    for (grpc::ClientContext* context : contexts_) context->TryCancel();
    empty_.wait(lock, [this] { return contexts_.empty(); });
  }

  // `begin` hands its arguments to the stub's method; `done` is called exactly once.
  template <typename Response, typename Request, typename Begin>
  void Start(Request request, Duration timeout, Begin begin,
             std::function<void(absl::Status, const Response&)> done) {
    struct Call {
      grpc::ClientContext context;
      Request request;
      Response response;
      std::function<void(absl::Status, const Response&)> done;
    };
    auto call = std::make_shared<Call>();
    call->request = std::move(request);
    call->done = std::move(done);
    SetDeadline(call->context, timeout);
    if (!Add(&call->context)) {
      call->done(absl::CancelledError("the runtime's client is closed"), call->response);
      return;
    }
    begin(&call->context, &call->request, &call->response,
          [this, call](const grpc::Status& status) {
            call->done(FromGrpc(status), call->response);
            Remove(&call->context);
          });
  }

 private:
  bool Add(grpc::ClientContext* context) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!closed_) contexts_.insert(context);
    return !closed_;
  }
  void Remove(grpc::ClientContext* context) {
    const std::lock_guard<std::mutex> lock(mutex_);
    contexts_.erase(context);
    // Under the lock: once it is free, the destructor may go on and take all of this away.
    if (contexts_.empty()) empty_.notify_all();
  }

  std::mutex mutex_;
  std::condition_variable empty_;
  std::set<grpc::ClientContext*> contexts_;
  bool closed_ = false;
};

}  // namespace meltemi::kubelet
