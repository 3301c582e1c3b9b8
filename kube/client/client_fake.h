// A client that answers as the test says, call by call, and watches that the test speaks into. For
// the layers right above the client; what uses an API server's behaviour is tested against
// orchestrator/apiserver/memory.
//
// Threads: thread-safe, but what the test's `on_call` touches.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/client/client.h"

namespace meltemi::kube {

class ClientFake final : public Client {
 public:
  // A watch that is open: the test tells it events. Calls of the sink come at once.
  struct OpenWatch {
    ApiCall call;
    WatchSink* sink = nullptr;
  };

  // Gives the answer to each call. Without one all is "404 NotFound".
  std::function<Result<ApiAnswer>(const ApiCall&)> on_call;

  Result<ApiAnswer> Call(const ApiCall& call) override {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      calls_.push_back(call);
    }
    return on_call ? on_call(call) : Result<ApiAnswer>(GenericStatus(404, "nothing is here"));
  }

  std::unique_ptr<ApiWatch> Watch(const ApiCall& call, WatchSink& sink) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    watches_.push_back({call, &sink});
    return std::make_unique<Handle>(*this, std::prev(watches_.end()));
  }

  // "GET /api/v1/pods?limit=500", in order; they are forgotten.
  std::vector<std::string> TakeCalls() {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::string> out;
    for (const ApiCall& call : calls_) out.push_back(absl::StrCat(call.method, " ", Target(call)));
    calls_.clear();
    return out;
  }
  std::vector<ApiCall> calls() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return calls_;
  }
  std::vector<OpenWatch> watches() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return {watches_.begin(), watches_.end()};
  }

  static std::string Target(const ApiCall& call) {
    std::string out = call.path;
    for (size_t i = 0; i < call.query.size(); ++i) {
      absl::StrAppend(&out, i == 0 ? "?" : "&", call.query[i].first, "=", call.query[i].second);
    }
    return out;
  }

 private:
  class Handle final : public ApiWatch {
   public:
    Handle(ClientFake& client, std::list<OpenWatch>::iterator at) : client_(client), at_(at) {}
    ~Handle() override {
      const std::lock_guard<std::mutex> lock(client_.mutex_);
      client_.watches_.erase(at_);
    }

   private:
    ClientFake& client_;
    const std::list<OpenWatch>::iterator at_;
  };

  mutable std::mutex mutex_;
  std::vector<ApiCall> calls_;
  std::list<OpenWatch> watches_;
};

}  // namespace meltemi::kube
