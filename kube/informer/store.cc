#include "kube/informer/store.h"

#include <google/protobuf/message.h>

#include <algorithm>
#include <mutex>

#include "absl/strings/numbers.h"
#include "kube/meta/v1/meta.pb.h"

namespace meltemi::kube {
namespace {

using google::protobuf::Message;

// 0 when it is no number.
int64_t VersionOf(const Message& object) {
  int64_t out;
  return absl::SimpleAtoi(MetaOf(object).resource_version(), &out) ? out : 0;
}

// Whether `now` says what is known already: events of the past, told again by a second watch. (A
// deletion may carry the version of the object's last change.)
bool IsOld(const MessagePtr& known, const MessagePtr& now, bool gone) {
  const int64_t known_version = VersionOf(*known), version = VersionOf(*now);
  if (known_version == 0 || version == 0) return false;
  return gone ? version < known_version : version <= known_version;
}

bool SameVersion(const Message& a, const Message& b) {
  const meta::v1::ObjectMeta &of_a = MetaOf(a), &of_b = MetaOf(b);
  return !of_a.resource_version().empty() && of_a.resource_version() == of_b.resource_version() &&
         of_a.uid() == of_b.uid();
}

}  // namespace

ObjectStore::Key ObjectStore::Less::KeyOf(const Entry& entry) {
  return {entry.meta->namespace_(), entry.meta->name()};
}

ObjectStore::Entry ObjectStore::MakeEntry(MessagePtr object) {
  const meta::v1::ObjectMeta* const meta = &MetaOf(*object);
  return {std::move(object), meta};
}

void ObjectStore::AddIndex(absl::string_view name, IndexFunction function) {
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  for (const Index& index : indexes_) {
    if (index.name == name) return;
  }
  indexes_.push_back({std::string(name), std::move(function), {}});
}

MessagePtr ObjectStore::Get(absl::string_view ns, absl::string_view name) const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  const auto at = entries_.find(Key(ns, name));
  return at == entries_.end() ? nullptr : at->object;
}

std::vector<MessagePtr> ObjectStore::Collect(Entries::const_iterator from,
                                             Entries::const_iterator to) {
  std::vector<MessagePtr> out;
  for (; from != to; ++from) out.push_back(from->object);
  return out;
}

std::vector<MessagePtr> ObjectStore::List(absl::string_view ns) const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  if (ns.empty()) return Collect(entries_.begin(), entries_.end());
  auto from = entries_.lower_bound(Key(ns, ""));
  std::vector<MessagePtr> out;
  for (; from != entries_.end() && from->meta->namespace_() == ns; ++from) {
    out.push_back(from->object);
  }
  return out;
}

std::vector<MessagePtr> ObjectStore::Indexed(absl::string_view index, absl::string_view key) const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  for (const Index& each : indexes_) {
    if (each.name != index) continue;
    const auto at = each.entries.find(key);
    if (at == each.entries.end()) return {};
    return Collect(at->second.begin(), at->second.end());
  }
  return {};
}

size_t ObjectStore::size() const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  return entries_.size();
}

MessagePtr ObjectStore::Known(MessagePtr object) const {
  const meta::v1::ObjectMeta& meta = MetaOf(*object);
  MessagePtr known = Get(meta.namespace_(), meta.name());
  return known != nullptr && SameVersion(*known, *object) ? known : object;
}

ObjectStore::Keys ObjectStore::KeysOf(const Message& object) const {
  Keys out;
  for (const Index& index : indexes_) out.push_back(index.function(object));
  return out;
}

void ObjectStore::Put(const MessagePtr& before, const Keys& keys_before, const MessagePtr& after,
                      const Keys& keys_after) {
  for (size_t i = 0; i < indexes_.size(); ++i) {
    auto& entries = indexes_[i].entries;
    if (before != nullptr) {
      for (const std::string& key : keys_before[i]) {
        const auto at = entries.find(key);
        if (at == entries.end()) continue;  // the function gave it twice
        at->second.erase(MakeEntry(before));
        if (at->second.empty()) entries.erase(at);
      }
    }
    if (after != nullptr) {
      for (const std::string& key : keys_after[i]) entries[key].insert(MakeEntry(after));
    }
  }
  if (before == nullptr) {
    entries_.insert(MakeEntry(after));
  } else if (after == nullptr) {
    entries_.erase(MakeEntry(before));
  } else {
    const auto at = entries_.find(MakeEntry(before));
    at->meta = &MetaOf(*after);
    at->object = after;
  }
}

bool ObjectStore::Apply(const MessagePtr& object, bool gone, Change* change) {
  const meta::v1::ObjectMeta& meta = MetaOf(*object);
  const MessagePtr known = Get(meta.namespace_(), meta.name());
  if (known == nullptr ? gone : IsOld(known, object, gone)) return false;
  const Keys keys_before = known == nullptr ? Keys() : KeysOf(*known);
  const Keys keys_after = gone ? Keys() : KeysOf(*object);
  {
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    Put(known, keys_before, gone ? nullptr : object, keys_after);
  }
  change->type = gone               ? Change::Type::kDeleted
                 : known == nullptr ? Change::Type::kAdded
                                    : Change::Type::kModified;
  // Of what is gone: as it was last, which the event says better than the store.
  change->before = gone ? object : known;
  change->after = gone ? nullptr : object;
  return true;
}

std::vector<Change> ObjectStore::Replace(std::vector<MessagePtr> objects) {
  const auto key = [](const MessagePtr& object) {
    const meta::v1::ObjectMeta& meta = MetaOf(*object);
    return Key(meta.namespace_(), meta.name());
  };
  const auto less = [&](const MessagePtr& a, const MessagePtr& b) { return key(a) < key(b); };
  std::stable_sort(objects.begin(), objects.end(), less);
  const std::vector<MessagePtr> known = List("");
  std::vector<Change> out, gone;
  auto old = known.begin();
  for (size_t i = 0; i < objects.size(); ++i) {
    const MessagePtr& object = objects[i];
    if (i + 1 < objects.size() && !less(object, objects[i + 1])) continue;  // a later one counts
    for (; old != known.end() && less(*old, object); ++old) {
      gone.push_back({Change::Type::kDeleted, *old, nullptr});
    }
    if (old == known.end() || less(object, *old)) {
      out.push_back({Change::Type::kAdded, nullptr, object});
    } else {
      if (!SameVersion(**old, *object)) out.push_back({Change::Type::kModified, *old, object});
      ++old;
    }
  }
  for (; old != known.end(); ++old) gone.push_back({Change::Type::kDeleted, *old, nullptr});
  out.insert(out.end(), gone.begin(), gone.end());
  std::vector<std::pair<Keys, Keys>> keys;
  keys.reserve(out.size());
  for (const Change& change : out) {
    keys.emplace_back(change.before == nullptr ? Keys() : KeysOf(*change.before),
                      change.after == nullptr ? Keys() : KeysOf(*change.after));
  }
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  for (size_t i = 0; i < out.size(); ++i) {
    Put(out[i].before, keys[i].first, out[i].after, keys[i].second);
  }
  return out;
}

}  // namespace meltemi::kube
