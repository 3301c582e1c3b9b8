#include "orchestrator/apiserver/memory/memory_watches.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/watch/cached_object.h"

namespace meltemi::apiserver {
namespace {

// A watch is told where it stands after so many revisions that did not concern it.
constexpr store::Revision kBookmarkInterval = 100;

bool Wants(const WatchQuery& query, const CachedObject& object) {
  return (query.ns.empty() || query.ns == object.ns) && query.labels.Matches(object.labels) &&
         query.fields.Matches(object.fields);
}

std::string Encode(const WatchQuery& query, const CachedObject& object) {
  std::string out;
  query.encode(object, &out);
  return out;
}

}  // namespace

// The bytes of one event, made once for all watches that are told it the same way.
class MemoryWatches::Lines {
 public:
  explicit Lines(const CacheEvent& event) : event_(event) {}

  std::shared_ptr<const std::string> Now(const WatchQuery& query) {
    return Of(query, *event_.object, now_);
  }
  // Of an object that a selector no longer matches: as it was when it did.
  std::shared_ptr<const std::string> Gone(const WatchQuery& query) {
    if (event_.type == CacheEvent::Type::kDeleted) return Now(query);
    if (gone_object_ == nullptr) gone_object_ = AtRevision(*event_.previous, event_.revision);
    return Of(query, *gone_object_, gone_);
  }

 private:
  using Made = std::map<std::string, std::shared_ptr<const std::string>>;

  static std::shared_ptr<const std::string> Of(const WatchQuery& query, const CachedObject& object,
                                               Made& made) {
    std::shared_ptr<const std::string>& line = made[query.encoding_key];
    if (line == nullptr) line = std::make_shared<const std::string>(Encode(query, object));
    return line;
  }

  const CacheEvent& event_;
  ObjectPtr gone_object_;
  Made now_, gone_;
};

uint64_t MemoryWatches::Add(uint64_t process, const WatchQuery& query, kube::WatchSink& sink) {
  const uint64_t id = next_id_++;
  Watch& watch = watches_[id];
  watch.process = process;
  watch.query = query;
  watch.sink = &sink;
  by_resource_[query.storage].insert(id);
  if (query.bookmarks) with_bookmarks_.insert(id);
  Begin(id, watch);
  return id;
}

uint64_t MemoryWatches::AddEnded(uint64_t process, kube::Status why, kube::WatchSink& sink) {
  const uint64_t id = next_id_++;
  Watch& watch = watches_[id];
  watch.process = process;
  watch.sink = &sink;
  watch.ended = true;
  Push(id, watch, {.end = std::move(why)});
  return id;
}

void MemoryWatches::Begin(uint64_t id, Watch& watch) {
  const WatchQuery& query = watch.query;
  WatchStartQuery start_query{.storage = query.storage, .ns = query.ns};
  start_query.objects = query.send_initial_events || query.from_revision == 0;
  start_query.from = query.from_revision;
  const kube::Result<WatchStart> start = cache_.StartOf(start_query);
  if (!start.ok()) {
    watch.ended = true;
    Push(id, watch, {.end = start.status()});
    return;
  }
  const bool from_now = query.from_now && query.from_revision == 0 && !query.send_initial_events;
  for (const ObjectPtr& object : start->objects) {
    if (from_now || !Wants(query, *object)) continue;
    Push(id, watch,
         {.type = "ADDED", .json = std::make_shared<const std::string>(Encode(query, *object))});
  }
  for (const EventPtr& event : start->events) {
    Lines lines(*event);
    Offer(id, watch, *event, lines);
  }
  watch.after = watch.told = std::max(start->revision, query.from_revision);
}

void MemoryWatches::Remove(uint64_t id) {
  const auto found = watches_.find(id);
  if (found == watches_.end()) return;
  Watch& watch = found->second;
  undelivered_ -= watch.news.size();
  waiting_.erase(id);
  with_bookmarks_.erase(id);
  const auto of_resource = by_resource_.find(watch.query.storage);
  if (of_resource != by_resource_.end()) of_resource->second.erase(id);
  watches_.erase(found);
}

void MemoryWatches::DropAllOf(uint64_t process) {
  std::vector<uint64_t> ids;
  for (const auto& [id, watch] : watches_) {
    if (watch.process == process) ids.push_back(id);
  }
  for (const uint64_t id : ids) Remove(id);
}

void MemoryWatches::OnEvent(const EventPtr& event) {
  Lines lines(*event);
  const auto of_resource = by_resource_.find(event->storage);
  if (of_resource != by_resource_.end()) {
    for (const uint64_t id : of_resource->second) Offer(id, watches_.at(id), *event, lines);
  }
  for (const uint64_t id : with_bookmarks_) {
    Watch& watch = watches_.at(id);
    if (event->revision - watch.told >= kBookmarkInterval) Bookmark(id, watch, event->revision);
  }
}

void MemoryWatches::Offer(uint64_t id, Watch& watch, const CacheEvent& event, Lines& lines) {
  if (watch.ended || event.revision <= watch.after) return;
  const WatchQuery& query = watch.query;
  const bool now = event.type != CacheEvent::Type::kDeleted && Wants(query, *event.object);
  const bool before = event.previous != nullptr && Wants(query, *event.previous);
  if (!now && !before) return;
  watch.told = event.revision;
  if (!now) return Push(id, watch, {.type = "DELETED", .json = lines.Gone(query)});
  Push(id, watch, {.type = before ? "MODIFIED" : "ADDED", .json = lines.Now(query)});
}

void MemoryWatches::Push(uint64_t id, Watch& watch, News news) {
  watch.news.push_back(std::move(news));
  waiting_.insert(id);
  ++undelivered_;
}

void MemoryWatches::Bookmark(uint64_t id, Watch& watch, store::Revision revision) {
  if (watch.ended) return;
  watch.told = revision;
  Push(id, watch,
       {.type = "BOOKMARK",
        .json = std::make_shared<const std::string>(
            absl::StrCat("{\"kind\":\"", watch.query.kind, "\",\"apiVersion\":\"",
                         watch.query.api_version, "\",\"metadata\":{\"resourceVersion\":\"",
                         revision, "\",\"creationTimestamp\":null}}"))});
}

void MemoryWatches::DeliverOne(uint64_t pick) {
  if (waiting_.empty()) return;
  const uint64_t id =
      *std::next(waiting_.begin(), static_cast<std::ptrdiff_t>(pick % waiting_.size()));
  Watch& watch = watches_.at(id);
  const News news = std::move(watch.news.front());
  watch.news.pop_front();
  --undelivered_;
  if (watch.news.empty()) waiting_.erase(id);
  kube::WatchSink* const sink = watch.sink;
  // The watch may be gone when these come back.
  if (news.end.has_value()) return sink->OnEnd(*news.end);
  sink->OnEvent(news.type, *news.json);
}

void MemoryWatches::EndOne(uint64_t pick, const kube::Status& why) {
  std::vector<uint64_t> open;
  for (const auto& [id, watch] : watches_) {
    if (!watch.ended) open.push_back(id);
  }
  if (open.empty()) return;
  const uint64_t id = open[pick % open.size()];
  Watch& watch = watches_.at(id);
  watch.ended = true;
  undelivered_ -= watch.news.size();
  watch.news.clear();
  waiting_.erase(id);
  watch.sink->OnEnd(why);
}

}  // namespace meltemi::apiserver
