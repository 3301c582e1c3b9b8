// A handler that answers by a function, and a hub whose watches a test drives by hand.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/watch/watch_stream.h"

namespace meltemi::apiserver {

class FakeHandler final : public Handler {
 public:
  Reply Handle(Request& request) override {
    if (on_request) return on_request(request);
    return Body{.content_type = "text/plain",
                .bytes = request.method + " " + request.target + " " + request.body};
  }
  std::function<Reply(Request&)> on_request;
};

// Thread-safe: the test's thread waits for watches and sends to them through their loops.
class FakeHub final : public WatchHub {
 public:
  struct Watched {
    Loop* loop;
    WatchSink* sink;
    WatchQuery query;
    bool open = true;
    bool refused = false;  // Send has returned false
  };

  kube::Result<std::unique_ptr<WatchRegistration>> Watch(Loop& loop, const WatchQuery& query,
                                                         WatchSink& sink) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (refuse_with) return *refuse_with;
    watches_.push_back({.loop = &loop, .sink = &sink, .query = query});
    changed_.notify_all();
    return std::unique_ptr<WatchRegistration>(new Registration(*this, watches_.size() - 1));
  }

  size_t open() {
    const std::lock_guard<std::mutex> lock(mutex_);
    size_t count = 0;
    for (const Watched& watched : watches_) count += watched.open;
    return count;
  }
  bool refused(size_t index) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return watches_[index].refused;
  }
  // From any thread; nothing happens to a watch that is over.
  void Send(size_t index, std::string lines) {
    Loop* loop;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      loop = watches_[index].loop;
    }
    loop->Post([this, index, lines = std::move(lines)] {
      const std::lock_guard<std::mutex> lock(mutex_);
      Watched& watched = watches_[index];
      if (watched.open && !watched.sink->Send(lines)) watched.refused = true;
    });
  }
  void End(size_t index) {
    Loop* loop;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      loop = watches_[index].loop;
    }
    loop->Post([this, index] {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (watches_[index].open) watches_[index].sink->End();
    });
  }

  std::unique_ptr<kube::Status> refuse_with;

 private:
  class Registration final : public WatchRegistration {
   public:
    Registration(FakeHub& hub, size_t index) : hub_(hub), index_(index) {}
    ~Registration() override {
      const std::lock_guard<std::mutex> lock(hub_.mutex_);
      hub_.watches_[index_].open = false;
    }

   private:
    FakeHub& hub_;
    const size_t index_;
  };

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Watched> watches_;
};

}  // namespace meltemi::apiserver
