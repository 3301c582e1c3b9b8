// What feeds have heard and the loop has not yet taken: each object once, in its newest version, so
// that a loop that is busy finds one batch, however much has happened.
//
// Threads: thread-safe; `on_news` runs on the loop.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/loop/loop.h"
#include "kube/status/status.h"
#include "pilot/ingest/kube/convert.h"

namespace meltemi::pilot {

class Inbox final : public std::enable_shared_from_this<Inbox> {
 public:
  // Of one kind.
  struct News {
    std::optional<std::vector<Arrival>> all;  // first this
    std::map<ObjectKey, Arrival> then;
    std::optional<kube::Status> failure;  // the last one, when nothing was heard after it
  };

  Inbox(Loop& loop, std::function<void()> on_news) : loop_(loop), on_news_(std::move(on_news)) {}

  // Whoever brings news of the kind from now on; nobody else's are taken.
  uint64_t Open(Kind kind) {
    const std::lock_guard<std::mutex> lock(mutex_);
    news_.erase(kind);
    return open_[kind] = ++last_id_;
  }
  void Close(Kind kind) {
    const std::lock_guard<std::mutex> lock(mutex_);
    news_.erase(kind);
    open_.erase(kind);
  }

  void Put(uint64_t id, Arrival arrival) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!IsOpen(arrival.key.kind, id)) return;
    News& news = news_[arrival.key.kind];
    news.failure.reset();
    ObjectKey key = arrival.key;
    news.then.insert_or_assign(std::move(key), std::move(arrival));
    Announce();
  }
  void PutAll(uint64_t id, Kind kind, std::vector<Arrival> arrivals) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!IsOpen(kind, id)) return;
    News& news = news_[kind];
    news.failure.reset();
    news.all = std::move(arrivals);
    news.then.clear();
    Announce();
  }
  void PutFailure(uint64_t id, Kind kind, const kube::Status& why) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!IsOpen(kind, id)) return;
    news_[kind].failure = why;
    Announce();
  }
  std::map<Kind, News> Take() {
    const std::lock_guard<std::mutex> lock(mutex_);
    announced_ = false;
    return std::exchange(news_, {});
  }

 private:
  bool IsOpen(Kind kind, uint64_t id) const {
    const auto at = open_.find(kind);
    return at != open_.end() && at->second == id;
  }
  void Announce() {
    if (std::exchange(announced_, true)) return;
    loop_.Post([weak = weak_from_this()] {
      if (const auto self = weak.lock()) self->on_news_();
    });
  }

  Loop& loop_;
  const std::function<void()> on_news_;
  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<Kind, News> news_;
  std::map<Kind, uint64_t> open_;
  uint64_t last_id_ = 0;
  bool announced_ = false;
};

}  // namespace meltemi::pilot
