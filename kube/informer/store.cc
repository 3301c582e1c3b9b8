#include "kube/informer/store.h"

#include <algorithm>
#include <mutex>

namespace meltemi::kube {
namespace {

// Whether `now` says what is known already: events of the past, told again by a second watch. (A
// deletion may carry the version of the object's last change.)
bool IsOld(const KeptObject& known, const KeptObject& now, bool gone) {
  if (known.version == 0 || now.version == 0) return false;
  return gone ? now.version < known.version : now.version <= known.version;
}

bool SameVersion(const KeptObject& a, const KeptObject& b) {
  return a.identity != 0 && a.identity == b.identity;
}

}  // namespace

void ObjectStore::AddIndex(absl::string_view name, IndexFunction function) {
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  for (const Index& index : indexes_) {
    if (index.name == name) return;
  }
  indexes_.push_back({std::string(name), std::move(function), {}});
}

KeptPtr ObjectStore::Find(const NamespacedName& name) const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  const auto at = entries_.find(Key(name.ns, name.name));
  return at == entries_.end() ? nullptr : *at;
}

MessagePtr ObjectStore::Get(absl::string_view ns, absl::string_view name) const {
  const KeptPtr kept = Find({std::string(ns), std::string(name)});
  return kept == nullptr ? nullptr : keeper_.Read(kept, true);
}

std::vector<MessagePtr> ObjectStore::Read(const std::vector<KeptPtr>& kept, bool often) const {
  std::vector<MessagePtr> out;
  out.reserve(kept.size());
  for (const KeptPtr& each : kept) out.push_back(keeper_.Read(each, often));
  return out;
}

// Whoever looks at all of them must not drive out those that are needed often.
std::vector<MessagePtr> ObjectStore::List(absl::string_view ns) const {
  std::vector<KeptPtr> kept;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    if (ns.empty()) {
      kept.assign(entries_.begin(), entries_.end());
    } else {
      auto at = entries_.lower_bound(Key(ns, ""));
      for (; at != entries_.end() && (*at)->name.ns == ns; ++at) kept.push_back(*at);
    }
  }
  return Read(kept, false);
}

std::vector<MessagePtr> ObjectStore::Indexed(absl::string_view index, absl::string_view key) const {
  std::vector<KeptPtr> kept;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    for (const Index& each : indexes_) {
      if (each.name != index) continue;
      const auto at = each.entries.find(key);
      if (at != each.entries.end()) kept.assign(at->second.begin(), at->second.end());
    }
  }
  return Read(kept, true);
}

size_t ObjectStore::size() const {
  const std::shared_lock<std::shared_mutex> lock(mutex_);
  return entries_.size();
}

KeptPtr ObjectStore::Listed(const MessagePtr& object) const {
  const KeptObject described = ObjectKeeper::Describe(*object);
  KeptPtr known = Find(described.name);
  return known != nullptr && SameVersion(*known, described) ? known : keeper_.Keep(object);
}

ObjectStore::Keys ObjectStore::KeysOf(const KeptPtr& kept) const {
  Keys out;
  if (kept == nullptr || indexes_.empty()) return out;
  const MessagePtr object = keeper_.Read(kept, false);
  for (const Index& index : indexes_) out.push_back(index.function(*object));
  return out;
}

ObjectStore::Step ObjectStore::MakeStep(KeptPtr before, KeptPtr after) const {
  Step out{std::move(before), std::move(after), {}, {}};
  out.keys_before = KeysOf(out.before);
  out.keys_after = KeysOf(out.after);
  return out;
}

void ObjectStore::Do(const Step& step) {
  for (size_t i = 0; i < indexes_.size(); ++i) {
    auto& entries = indexes_[i].entries;
    if (step.before != nullptr) {
      for (const std::string& key : step.keys_before[i]) {
        const auto at = entries.find(key);
        if (at == entries.end()) continue;  // the function gave it twice
        at->second.erase(step.before);
        if (at->second.empty()) entries.erase(at);
      }
    }
    if (step.after != nullptr) {
      for (const std::string& key : step.keys_after[i]) entries[key].insert(step.after);
    }
  }
  if (step.before != nullptr) entries_.erase(step.before);
  if (step.after != nullptr) entries_.insert(step.after);
}

bool ObjectStore::Apply(const MessagePtr& object, bool gone, Change* change) {
  const KeptObject described = ObjectKeeper::Describe(*object);
  const KeptPtr known = Find(described.name);
  if (known == nullptr ? gone : IsOld(*known, described, gone)) return false;
  change->type = gone               ? Change::Type::kDeleted
                 : known == nullptr ? Change::Type::kAdded
                                    : Change::Type::kModified;
  // Of what is gone: as it was last, which the event says better than the store.
  change->before = gone ? object : known == nullptr ? nullptr : keeper_.Read(known, false);
  change->after = gone ? nullptr : object;
  const Step step = MakeStep(known, gone ? nullptr : keeper_.Keep(object));
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  Do(step);
  return true;
}

std::vector<std::pair<KeptPtr, KeptPtr>> ObjectStore::Compare(const std::vector<KeptPtr>& known,
                                                              const std::vector<KeptPtr>& objects) {
  const Less less;
  std::vector<std::pair<KeptPtr, KeptPtr>> out, gone;
  auto old = known.begin();
  for (size_t i = 0; i < objects.size(); ++i) {
    const KeptPtr& object = objects[i];
    if (i + 1 < objects.size() && !less(object, objects[i + 1])) continue;  // a later one counts
    for (; old != known.end() && less(*old, object); ++old) gone.emplace_back(*old, nullptr);
    if (old == known.end() || less(object, *old)) {
      out.emplace_back(nullptr, object);
    } else {
      if (!SameVersion(**old, *object)) out.emplace_back(*old, object);
      ++old;
    }
  }
  for (; old != known.end(); ++old) gone.emplace_back(*old, nullptr);
  out.insert(out.end(), gone.begin(), gone.end());
  return out;
}

void ObjectStore::Replace(std::vector<KeptPtr> objects,
                          absl::FunctionRef<void(const Change&)> tell) {
  std::stable_sort(objects.begin(), objects.end(), Less());
  std::vector<KeptPtr> known;
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    known.assign(entries_.begin(), entries_.end());
  }
  std::vector<std::pair<KeptPtr, KeptPtr>> pairs = Compare(known, objects);
  objects.clear();
  std::vector<Step> steps;
  steps.reserve(pairs.size());
  for (auto& [before, after] : pairs) steps.push_back(MakeStep(before, after));
  {
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    for (const Step& step : steps) Do(step);
  }
  steps.clear();
  for (auto& [before, after] : pairs) {
    Change change;
    change.type = before == nullptr  ? Change::Type::kAdded
                  : after == nullptr ? Change::Type::kDeleted
                                     : Change::Type::kModified;
    if (before != nullptr) change.before = keeper_.Read(before, false);
    if (after != nullptr) change.after = keeper_.Read(after, false);
    tell(change);
  }
}

}  // namespace meltemi::kube
