#include "orchestrator/apiserver/watch/resource_cache.h"

#include <algorithm>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/watch/cached_object.h"
#include "orchestrator/apiserver/watch/store_status.h"

namespace meltemi::apiserver {
namespace {

size_t BytesOfEvent(const CacheEvent& event) {
  return sizeof(CacheEvent) + BytesOf(*event.object) +
         (event.previous == nullptr ? 0 : BytesOf(*event.previous));
}

EventPtr MakeEvent(const kube::GroupResource& storage, const ResourceCache::Change& change,
                   ObjectPtr previous) {
  auto event = std::make_shared<CacheEvent>();
  event->revision = change.revision;
  event->storage = storage;
  if (change.object == nullptr) {
    event->type = CacheEvent::Type::kDeleted;
    event->object = AtRevision(*previous, change.revision);
  } else {
    event->type = previous == nullptr ? CacheEvent::Type::kAdded : CacheEvent::Type::kModified;
    event->object = change.object;
  }
  event->previous = std::move(previous);
  return event;
}

}  // namespace

bool Precedes(const ObjectPlace& a, const ObjectPlace& b) {
  if (a.ns == b.ns) return a.name < b.name;
  // As the bytes of "NS/" compare, without making them.
  const size_t common = std::min(a.ns.size(), b.ns.size());
  const int order = a.ns.substr(0, common).compare(b.ns.substr(0, common));
  if (order != 0) return order < 0;
  return a.ns.size() < b.ns.size() ? '/' < b.ns[common] : a.ns[common] < '/';
}

std::string SuffixOf(const ObjectPlace& place) {
  return place.ns.empty() ? std::string(place.name) : absl::StrCat(place.ns, "/", place.name);
}

ResourceCache::ResourceCache(kube::GroupResource storage, FieldsOf fields_of, size_t events_max,
                             size_t events_bytes_max)
    : storage_(std::move(storage)),
      fields_of_(std::move(fields_of)),
      events_max_(events_max),
      events_bytes_max_(events_bytes_max) {}

std::vector<EventPtr> ResourceCache::Apply(std::vector<Change> changes) {
  std::vector<EventPtr> events;
  events.reserve(changes.size());
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  for (Change& change : changes) {
    if (change.revision <= read_at_) continue;
    const auto found = objects_.find(ObjectPlace{change.ns, change.name});
    ObjectPtr previous = found == objects_.end() ? nullptr : *found;
    if (previous == nullptr && change.object == nullptr) continue;
    if (previous != nullptr) objects_.erase(found);
    if (change.object != nullptr) objects_.insert(change.object);
    if (previous == nullptr) ++count_by_ns_[change.ns];
    if (change.object == nullptr && --count_by_ns_[change.ns] == 0) count_by_ns_.erase(change.ns);
    events.push_back(MakeEvent(storage_, change, std::move(previous)));
    last_ = change.revision;
    Remember(events.back());
  }
  return events;
}

void ResourceCache::Remember(const EventPtr& event) {
  events_.push_back(event);
  events_bytes_ += BytesOfEvent(*event);
  while (events_.size() > events_max_ || events_bytes_ > events_bytes_max_) {
    events_after_ = events_.front()->revision;
    events_bytes_ -= BytesOfEvent(*events_.front());
    events_.pop_front();
  }
}

std::vector<EventPtr> ResourceCache::Replace(std::vector<ObjectPtr> objects,
                                             store::Revision revision) {
  Objects fresh(objects.begin(), objects.end());
  std::vector<EventPtr> events;
  const auto add = [&](const ObjectPtr& old, const ObjectPtr& now, store::Revision at) {
    const ObjectPtr& either = now == nullptr ? old : now;
    events.push_back(MakeEvent(storage_, {either->ns, either->name, at, now}, old));
  };
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  count_by_ns_.clear();
  for (const ObjectPtr& object : fresh) {
    ++count_by_ns_[object->ns];
    const auto known = objects_.find(object);
    if (known == objects_.end()) {
      add(nullptr, object, object->mod_revision);
    } else if ((*known)->mod_revision != object->mod_revision) {
      add(*known, object, object->mod_revision);
    }
  }
  for (const ObjectPtr& object : objects_) {
    if (!fresh.contains(object)) add(object, nullptr, revision);
  }
  std::stable_sort(events.begin(), events.end(),
                   [](const EventPtr& a, const EventPtr& b) { return a->revision < b->revision; });
  objects_ = std::move(fresh);
  events_.clear();
  events_bytes_ = 0;
  events_after_ = last_ = read_at_ = revision;
  return events;
}

ObjectPtr ResourceCache::Find(absl::string_view ns, absl::string_view name) const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  const auto found = objects_.find(ObjectPlace{ns, name});
  return found == objects_.end() ? nullptr : *found;
}

size_t ResourceCache::size() const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  return objects_.size();
}

store::Revision ResourceCache::RevisionOf(
    const std::function<store::Revision()>& cache_revision) const {
  // While a batch is handed round, this resource may be ahead of the cache as a whole.
  return std::max(last_, cache_revision());
}

ResourceCache::Objects::const_iterator ResourceCache::Begin(absl::string_view ns) const {
  return ns.empty() ? objects_.begin() : objects_.lower_bound(ObjectPlace{ns, ""});
}

ResourceCache::Page ResourceCache::List(
    absl::string_view ns, size_t limit, const std::function<bool(const CachedObject&)>& matches,
    const std::function<store::Revision()>& cache_revision) const {
  Page page;
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  page.revision = RevisionOf(cache_revision);
  const auto in_ns = ns.empty() ? count_by_ns_.end() : count_by_ns_.find(ns);
  const int64_t total = ns.empty() ? static_cast<int64_t>(objects_.size())
                                   : (in_ns == count_by_ns_.end() ? 0 : in_ns->second);
  if (!matches) page.objects.reserve(limit == 0 ? total : std::min<size_t>(limit, total));
  for (auto it = Begin(ns); it != objects_.end() && (ns.empty() || (*it)->ns == ns); ++it) {
    if (limit != 0 && page.objects.size() == limit) {
      page.more = true;
      page.remaining = total - static_cast<int64_t>(limit);
      break;
    }
    if (!matches || matches(**it)) page.objects.push_back(*it);
  }
  return page;
}

kube::Result<WatchStart> ResourceCache::StartOf(
    const WatchStartQuery& query, const std::function<store::Revision()>& cache_revision) const {
  WatchStart start;
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  start.revision = RevisionOf(cache_revision);
  if (query.objects) {
    if (!query.name.empty()) {
      const auto found = objects_.find(ObjectPlace{query.ns, query.name});
      if (found != objects_.end()) start.objects.push_back(*found);
      return start;
    }
    for (auto it = Begin(query.ns);
         it != objects_.end() && (query.ns.empty() || (*it)->ns == query.ns); ++it) {
      start.objects.push_back(*it);
    }
    return start;
  }
  if (query.from < events_after_) return TooOldResourceVersion(query.from, events_after_);
  const auto first = std::partition_point(
      events_.begin(), events_.end(),
      [&query](const EventPtr& event) { return event->revision <= query.from; });
  start.events.assign(first, events_.end());
  return start;
}

}  // namespace meltemi::apiserver
