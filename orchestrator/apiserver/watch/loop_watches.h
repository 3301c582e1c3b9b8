// The watches of clients on one loop: which of them want an event, and what is sent to them.
//
// A watch that asks for one value of a field (an object's name, a pod's node) or for a namespace is
// found by that value: an event costs those whom it concerns.
//
// Threads: loop-owned, but for wanted().
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/loop/loop.h"
#include "orchestrator/apiserver/watch/event_source.h"
#include "orchestrator/apiserver/watch/watch_stream.h"

namespace meltemi::apiserver {

// One client's watch.
struct LoopWatch {
  uint64_t id = 0;
  WatchQuery query;
  WatchSink* sink = nullptr;  // null: it has ended, and is about to be removed
  // The place in the index: a field that must have a value; "" when there is none.
  std::string index_field, index_value;
  store::Revision after = 0;     // events up to it are sent, or were never to be
  store::Revision bookmark = 0;  // the last one's
  // What is to be sent before anything else.
  std::vector<ObjectPtr> initial;
  size_t initial_sent = 0;
  bool initial_bookmark = false;  // at its end
  std::deque<EventPtr> waiting;   // events that came meanwhile
  std::unique_ptr<Timer> resume;  // when the client has read some of it
  bool starting = false;
};

class LoopWatches final : public std::enable_shared_from_this<LoopWatches> {
 public:
  LoopWatches(Loop& loop, Duration bookmark_interval);

  // False: there is no watch, so that events need not be brought here. Any thread.
  bool wanted() const { return count_ > 0; }
  // To be called before the start is asked for, so that what follows the start is brought.
  void Expect() { ++count_; }
  void Unexpect() { --count_; }

  // After Expect().
  LoopWatch& Add(const WatchQuery& query, WatchSink& sink, WatchStart start);
  void Remove(uint64_t id);

  void Deliver(const EventBatch& batch);
  // All watches of the resource end: with "too old resource version".
  void EndAll(const kube::GroupResource& storage);

 private:
  struct OfResource {
    std::vector<LoopWatch*> all;  // those without a place in the index
    std::map<std::string, absl::flat_hash_map<std::string, std::vector<LoopWatch*>>> by_field;
  };
  // The lines of one event, made when first wanted.
  struct Lines;

  void DeliverEvent(const EventPtr& event);
  void Offer(std::vector<LoopWatch*>& watches, const EventPtr& event, Lines& lines);
  void Process(LoopWatch& watch, const EventPtr& event, Lines& lines);
  void Send(LoopWatch& watch, absl::string_view line);
  void End(LoopWatch& watch);
  void SendInitial(uint64_t id);
  bool SendSomeInitial(LoopWatch& watch);
  void SendBookmark(LoopWatch& watch, store::Revision revision, bool initial_end);
  void SendBookmarks();
  void StopWhenIdle();
  void Sweep();
  void Index(LoopWatch& watch);
  void Unindex(const LoopWatch& watch);

  Loop& loop_;
  const Duration bookmark_interval_;
  std::atomic<int64_t> count_{0};

  uint64_t next_id_ = 1;
  std::map<uint64_t, std::unique_ptr<LoopWatch>> watches_;
  std::map<kube::GroupResource, OfResource> resources_;
  store::Revision delivered_ = 0;
  bool delivering_ = false;        // nothing is taken out of the index meanwhile
  std::vector<uint64_t> removed_;  // meanwhile
  uint64_t bookmark_turn_ = 0;
  std::unique_ptr<Timer> bookmark_timer_;  // while there are watches
};

}  // namespace meltemi::apiserver
