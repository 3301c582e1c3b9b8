#include "orchestrator/apiserver/watch/loop_watches.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "base/log/log.h"
#include "orchestrator/apiserver/watch/cached_object.h"
#include "orchestrator/apiserver/watch/store_status.h"

namespace meltemi::apiserver {
namespace {

// Bookmarks go out in so many parts, so that thousands of watches are not served in one turn.
constexpr uint64_t kBookmarkParts = 20;
// Initial events per turn of the loop, and the unsent bytes above which they wait.
constexpr size_t kInitialPerTurn = 500;
constexpr size_t kInitialUnsentBytes = 1024 * 1024;
constexpr Duration kInitialWait = milliseconds(5);
// Events that wait behind a slow start; then the watch ends.
constexpr size_t kWaitingMax = 100'000;

constexpr absl::string_view kNamespaceField = "metadata.namespace";

void AppendLine(absl::string_view type, const WatchQuery& query, const CachedObject& object,
                std::string* out) {
  absl::StrAppend(out, "{\"type\":\"", type, "\",\"object\":");
  query.encode(object, out);
  out->append("}\n");
}

std::string ErrorLine(const kube::Status& status) {
  return absl::StrCat("{\"type\":\"ERROR\",\"object\":", json::ToString(status.ToJson()), "}\n");
}

bool Wants(const WatchQuery& query, const CachedObject& object) {
  return (query.ns.empty() || query.ns == object.ns) && query.labels.Matches(object.labels) &&
         query.fields.Matches(object.fields);
}

}  // namespace

struct LoopWatches::Lines {
  explicit Lines(const CacheEvent& of) : event(of) {}

  enum class Shown : uint8_t { kAdded, kModified, kDeleted };
  const std::string& Of(Shown shown, const WatchQuery& query) {
    for (const auto& [key, line] : made) {
      if (key.first == shown && key.second == query.encoding_key) return line;
    }
    std::string line;
    switch (shown) {
      case Shown::kAdded:
        AppendLine("ADDED", query, *event.object, &line);
        break;
      case Shown::kModified:
        AppendLine("MODIFIED", query, *event.object, &line);
        break;
      case Shown::kDeleted:
        // Of an object that a selector no longer matches: as it was when it did.
        if (gone == nullptr) {
          gone = event.type == CacheEvent::Type::kDeleted
                     ? event.object
                     : AtRevision(*event.previous, event.revision);
        }
        AppendLine("DELETED", query, *gone, &line);
        break;
    }
    return made.emplace_back(std::make_pair(shown, query.encoding_key), std::move(line)).second;
  }

  const CacheEvent& event;
  ObjectPtr gone;
  std::deque<std::pair<std::pair<Shown, std::string>, std::string>> made;
};

LoopWatches::LoopWatches(Loop& loop, Duration bookmark_interval)
    : loop_(loop), bookmark_interval_(bookmark_interval) {}

LoopWatch& LoopWatches::Add(const WatchQuery& query, WatchSink& sink, WatchStart start) {
  auto owned = std::make_unique<LoopWatch>();
  LoopWatch& watch = *owned;
  watch.id = next_id_++;
  watch.query = query;
  watch.sink = &sink;
  watch.after = start.revision;
  watch.initial = std::move(start.objects);
  watch.initial_bookmark = query.send_initial_events;
  watch.waiting.assign(start.events.begin(), start.events.end());
  watch.starting = !watch.initial.empty() || watch.initial_bookmark || !watch.waiting.empty();
  // A watch from the future sees nothing before it.
  watch.after = std::max(watch.after, query.from_revision);
  watch.bookmark = watch.after;
  watches_.emplace(watch.id, std::move(owned));
  Index(watch);
  if (watch.starting) {
    loop_.Post([self = shared_from_this(), id = watch.id] { self->SendInitial(id); });
  }
  if (bookmark_timer_ == nullptr) {
    bookmark_timer_ = loop_.NewTimer([this] { SendBookmarks(); });
  }
  if (!bookmark_timer_->armed()) bookmark_timer_->Arm(bookmark_interval_ / kBookmarkParts);
  return watch;
}

void LoopWatches::Index(LoopWatch& watch) {
  for (const kube::FieldSelector::Term& term : watch.query.fields.terms()) {
    if (!term.equals) continue;
    watch.index_field = term.field;
    watch.index_value = term.value;
    break;
  }
  if (watch.index_field.empty() && !watch.query.ns.empty()) {
    watch.index_field = std::string(kNamespaceField);
    watch.index_value = watch.query.ns;
  }
  OfResource& of_resource = resources_[watch.query.storage];
  if (watch.index_field.empty()) {
    of_resource.all.push_back(&watch);
  } else {
    of_resource.by_field[watch.index_field][watch.index_value].push_back(&watch);
  }
}

void LoopWatches::Unindex(const LoopWatch& watch) {
  const auto remove = [&watch](std::vector<LoopWatch*>& watches) {
    watches.erase(std::remove(watches.begin(), watches.end(), &watch), watches.end());
  };
  const auto resource = resources_.find(watch.query.storage);
  if (resource == resources_.end()) return;
  OfResource& of_resource = resource->second;
  if (watch.index_field.empty()) {
    remove(of_resource.all);
  } else {
    const auto field = of_resource.by_field.find(watch.index_field);
    const auto value = field->second.find(watch.index_value);
    remove(value->second);
    if (value->second.empty()) field->second.erase(value);
    if (field->second.empty()) of_resource.by_field.erase(field);
  }
  if (of_resource.all.empty() && of_resource.by_field.empty()) resources_.erase(resource);
}

void LoopWatches::Remove(uint64_t id) {
  const auto found = watches_.find(id);
  if (found == watches_.end()) return;
  found->second->sink = nullptr;
  if (delivering_) {
    removed_.push_back(id);
    return;
  }
  Unindex(*found->second);
  watches_.erase(found);
  --count_;
  StopWhenIdle();
}

void LoopWatches::StopWhenIdle() {
  if (!watches_.empty()) return;
  // Posted: the timer's own callback may have brought this about.
  loop_.Post([self = shared_from_this()] {
    if (self->watches_.empty()) self->bookmark_timer_.reset();
  });
}

void LoopWatches::Sweep() {
  delivering_ = false;
  for (const uint64_t id : std::exchange(removed_, {})) Remove(id);
}

void LoopWatches::Deliver(const EventBatch& batch) {
  delivering_ = true;
  for (const EventPtr& event : batch.events) DeliverEvent(event);
  delivered_ = std::max(delivered_, batch.revision);
  Sweep();
}

void LoopWatches::DeliverEvent(const EventPtr& event) {
  const auto resource = resources_.find(event->storage);
  if (resource == resources_.end()) return;
  Lines lines(*event);
  Offer(resource->second.all, event, lines);
  for (auto& [field, by_value] : resource->second.by_field) {
    const absl::string_view value = FieldOf(*event->object, field);
    const auto now = by_value.find(value);
    if (now != by_value.end()) Offer(now->second, event, lines);
    if (event->previous == nullptr) continue;
    const absl::string_view previous = FieldOf(*event->previous, field);
    if (previous == value) continue;
    const auto before = by_value.find(previous);
    if (before != by_value.end()) Offer(before->second, event, lines);
  }
}

void LoopWatches::Offer(std::vector<LoopWatch*>& watches, const EventPtr& event, Lines& lines) {
  // Those that begin while this goes on have seen the event already.
  const size_t count = watches.size();
  for (size_t i = 0; i < count; ++i) {
    LoopWatch& watch = *watches[i];
    if (watch.sink == nullptr || event->revision <= watch.after) continue;
    if (!watch.starting) {
      Process(watch, event, lines);
      continue;
    }
    watch.waiting.push_back(event);
    if (watch.waiting.size() > kWaitingMax) End(watch);
  }
}

void LoopWatches::Process(LoopWatch& watch, const EventPtr& event, Lines& lines) {
  const bool now = event->type != CacheEvent::Type::kDeleted && Wants(watch.query, *event->object);
  const bool before = event->previous != nullptr && Wants(watch.query, *event->previous);
  if (!now && !before) return;
  const Lines::Shown shown = !now     ? Lines::Shown::kDeleted
                             : before ? Lines::Shown::kModified
                                      : Lines::Shown::kAdded;
  Send(watch, lines.Of(shown, watch.query));
}

void LoopWatches::Send(LoopWatch& watch, absl::string_view line) {
  if (watch.sink == nullptr || watch.sink->Send(line)) return;
  LOG(kInfo, "watch", "a client reads its watch of ", watch.query.storage.ToString(),
      " too slowly: it is ended");
  End(watch);
}

void LoopWatches::End(LoopWatch& watch) {
  WatchSink* const sink = std::exchange(watch.sink, nullptr);
  if (sink != nullptr) sink->End();
}

void LoopWatches::SendInitial(uint64_t id) {
  const auto found = watches_.find(id);
  if (found == watches_.end()) return;
  LoopWatch& watch = *found->second;
  delivering_ = true;
  const bool more = SendSomeInitial(watch);
  const bool slow =
      more && watch.sink != nullptr && watch.sink->UnsentBytes() > kInitialUnsentBytes;
  Sweep();
  if (!more) return;
  if (!slow) {
    loop_.Post([self = shared_from_this(), id] { self->SendInitial(id); });
    return;
  }
  if (watch.resume == nullptr) {
    // Posted: the watch, and this timer with it, may end while it goes on.
    watch.resume = loop_.NewTimer(
        [this, id] { loop_.Post([self = shared_from_this(), id] { self->SendInitial(id); }); });
  }
  watch.resume->Arm(kInitialWait);
}

bool LoopWatches::SendSomeInitial(LoopWatch& watch) {
  std::string line;
  size_t sent = 0;
  for (; watch.sink != nullptr && watch.initial_sent < watch.initial.size(); ++sent) {
    if (sent == kInitialPerTurn || watch.sink->UnsentBytes() > kInitialUnsentBytes) return true;
    const CachedObject& object = *watch.initial[watch.initial_sent++];
    if (!Wants(watch.query, object)) continue;
    line.clear();
    AppendLine("ADDED", watch.query, object, &line);
    Send(watch, line);
  }
  watch.initial.clear();
  if (watch.initial_bookmark) SendBookmark(watch, watch.after, true);
  watch.initial_bookmark = false;
  for (; watch.sink != nullptr && !watch.waiting.empty(); ++sent) {
    if (sent == kInitialPerTurn || watch.sink->UnsentBytes() > kInitialUnsentBytes) return true;
    const EventPtr event = std::move(watch.waiting.front());
    watch.waiting.pop_front();
    Lines lines(*event);
    Process(watch, event, lines);
  }
  watch.starting = false;
  return false;
}

void LoopWatches::SendBookmark(LoopWatch& watch, store::Revision revision, bool initial_end) {
  if (watch.sink == nullptr) return;
  std::string line = "{\"type\":\"BOOKMARK\",\"object\":";
  json::Writer writer(&line);
  writer.BeginObject().Key("kind").String(watch.query.kind);
  writer.Key("apiVersion").String(watch.query.api_version);
  writer.Key("metadata").BeginObject().Key("resourceVersion").String(absl::StrCat(revision));
  writer.Key("creationTimestamp").Null();
  if (initial_end) {
    writer.Key("annotations").BeginObject();
    writer.Key("k8s.io/initial-events-end").String("true").EndObject();
  }
  writer.EndObject().EndObject();
  line += "}\n";
  watch.bookmark = revision;
  Send(watch, line);
}

void LoopWatches::SendBookmarks() {
  const uint64_t part = bookmark_turn_++ % kBookmarkParts;
  delivering_ = true;
  for (const auto& [id, watch] : watches_) {
    if (id % kBookmarkParts != part || !watch->query.bookmarks || watch->starting) continue;
    if (delivered_ > watch->bookmark) SendBookmark(*watch, delivered_, false);
  }
  Sweep();
  if (!watches_.empty()) bookmark_timer_->Arm(bookmark_interval_ / kBookmarkParts);
}

void LoopWatches::EndAll(const kube::GroupResource& storage) {
  delivering_ = true;
  for (const auto& [id, watch] : watches_) {
    if (!(watch->query.storage == storage) || watch->sink == nullptr) continue;
    Send(*watch, ErrorLine(TooOldResourceVersion(watch->after, delivered_)));
    End(*watch);
  }
  Sweep();
}

}  // namespace meltemi::apiserver
