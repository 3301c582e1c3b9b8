// A watcher that keeps what it is told, for tests.
//
// Threads: OnEvents and OnEnd on the store's thread, everything else on any.
#pragma once

#include <condition_variable>
#include <functional>
#include <iterator>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "orchestrator/store/store.h"

namespace meltemi::store {

class CollectingWatcher final : public Watcher {
 public:
  void OnEvents(std::vector<Event> events, Revision revision) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    events_.insert(events_.end(), std::make_move_iterator(events.begin()),
                   std::make_move_iterator(events.end()));
    revision_ = revision;
    changed_.notify_all();
  }
  void OnEnd(const absl::Status& why) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    ended_ = true;
    why_ = why;
    changed_.notify_all();
  }

  // The first `count` events or more; fewer when they don't come within ten seconds.
  std::vector<Event> WaitForEvents(size_t count) {
    Wait([this, count] { return events_.size() >= count; });
    const std::lock_guard<std::mutex> lock(mutex_);
    return events_;
  }
  bool WaitForRevision(Revision revision) {
    return Wait([this, revision] { return revision_ >= revision; });
  }
  // OK when the watch has not ended within ten seconds.
  absl::Status WaitForEnd() {
    Wait([this] { return ended_; });
    const std::lock_guard<std::mutex> lock(mutex_);
    return why_;
  }

 private:
  bool Wait(const std::function<bool()>& condition) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, seconds(10), condition);
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Event> events_;
  Revision revision_ = 0;
  bool ended_ = false;
  absl::Status why_;
};

}  // namespace meltemi::store
