#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "base/log/log.h"
#include "orchestrator/apiserver/watch/event_source.h"
#include "orchestrator/apiserver/watch/loop_watches.h"
#include "orchestrator/apiserver/watch/watch_cache.h"

namespace meltemi::apiserver {
namespace {

class Registration final : public WatchRegistration {
 public:
  Registration(std::shared_ptr<LoopWatches> watches, uint64_t id)
      : watches_(std::move(watches)), id_(id) {}
  ~Registration() override { watches_->Remove(id_); }

 private:
  const std::shared_ptr<LoopWatches> watches_;
  const uint64_t id_;
};

class Hub final : public WatchHub, private EventListener {
 public:
  Hub(EventSource& source, const WatchHubOptions& options) : source_(source), options_(options) {
    source_.SetListener(this);
  }
  ~Hub() override { source_.SetListener(nullptr); }

  kube::Result<std::unique_ptr<WatchRegistration>> Watch(Loop& loop, const WatchQuery& query,
                                                         WatchSink& sink) override {
    const std::shared_ptr<LoopWatches> watches = Of(loop);
    WatchStartQuery start_query{.storage = query.storage, .ns = query.ns};
    start_query.objects = query.send_initial_events || query.from_revision == 0;
    start_query.from = query.from_revision;
    const auto name = query.fields.RequiredValue("metadata.name");
    if (name.has_value() && !query.ns.empty()) start_query.name = std::string(*name);
    watches->Expect();
    auto start = source_.StartOf(start_query);
    if (!start.ok()) {
      watches->Unexpect();
      return start.status();
    }
    if (query.from_now && query.from_revision == 0 && !query.send_initial_events) {
      start->objects.clear();
    }
    const LoopWatch& watch = watches->Add(query, sink, *std::move(start));
    return std::unique_ptr<WatchRegistration>(std::make_unique<Registration>(watches, watch.id));
  }

 private:
  void OnBatch(std::shared_ptr<const EventBatch> batch) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [loop, watches] : loops_) {
      if (!watches->wanted()) continue;
      loop->Post([watches = watches, batch] { watches->Deliver(*batch); });
    }
  }
  void OnGap(const kube::GroupResource& storage) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (const auto& [loop, watches] : loops_) {
      if (!watches->wanted()) continue;
      loop->Post([watches = watches, storage] { watches->EndAll(storage); });
    }
  }
  std::shared_ptr<LoopWatches> Of(Loop& loop) {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::shared_ptr<LoopWatches>& watches = loops_[&loop];
    if (watches == nullptr) {
      watches = std::make_shared<LoopWatches>(loop, options_.bookmark_interval);
    }
    return watches;
  }

  EventSource& source_;
  const WatchHubOptions options_;
  std::mutex mutex_;
  std::map<Loop*, std::shared_ptr<LoopWatches>> loops_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<WatchHub> NewWatchHub(WatchCache& cache, const WatchHubOptions& options) {
  auto* const source = dynamic_cast<EventSource*>(&cache);
  CHECK(source != nullptr);
  return std::make_unique<Hub>(*source, options);
}

}  // namespace meltemi::apiserver
