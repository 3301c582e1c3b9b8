// The watches of all processes: what each of them has yet to be told, in order.
//
// Threads: one. Sinks are called from Deliver… and EndOne alone; they may begin and end watches,
// their own too.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "kube/client/client.h"
#include "kube/names/names.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/memory/memory_cache.h"
#include "orchestrator/apiserver/watch/cache.h"
#include "orchestrator/apiserver/watch/event_source.h"
#include "orchestrator/apiserver/watch/watch_stream.h"

namespace meltemi::apiserver {

class MemoryWatches {
 public:
  explicit MemoryWatches(MemoryCache& cache) : cache_(cache) {}

  // `process` groups watches for EndAllOf. The watch lives until Remove; what can't begin (410)
  // is told as its end.
  uint64_t Add(uint64_t process, const WatchQuery& query, kube::WatchSink& sink);
  // One whose only news is its end.
  uint64_t AddEnded(uint64_t process, kube::Status why, kube::WatchSink& sink);
  void Remove(uint64_t id);
  // They are over, and their sinks hear nothing of it.
  void DropAllOf(uint64_t process);

  void OnEvent(const EventPtr& event);

  size_t undelivered() const { return undelivered_; }
  void DeliverOne(uint64_t pick);
  void EndOne(uint64_t pick, const kube::Status& why);

 private:
  struct News {
    absl::string_view type;  // a literal
    std::shared_ptr<const std::string> json;
    std::optional<kube::Status> end;
  };
  struct Watch {
    uint64_t process = 0;
    WatchQuery query;
    kube::WatchSink* sink = nullptr;
    std::deque<News> news;
    store::Revision after = 0;  // events up to it were there when the watch began
    store::Revision told = 0;   // the last event's or bookmark's that was put into `news`
    bool ended = false;         // no more news
  };
  class Lines;

  void Offer(uint64_t id, Watch& watch, const CacheEvent& event, Lines& lines);
  void Push(uint64_t id, Watch& watch, News news);
  void Bookmark(uint64_t id, Watch& watch, store::Revision revision);
  void Begin(uint64_t id, Watch& watch);

  MemoryCache& cache_;
  uint64_t next_id_ = 1;
  std::map<uint64_t, Watch> watches_;
  std::map<kube::GroupResource, std::set<uint64_t>> by_resource_;
  std::set<uint64_t> with_bookmarks_;
  std::set<uint64_t> waiting_;  // have news
  size_t undelivered_ = 0;
};

}  // namespace meltemi::apiserver
