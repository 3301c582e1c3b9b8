#include "pilot/ingest/kube/kube_store.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meltemi::pilot {
namespace {

bool IsBefore(const ObjectPtr& object, const ObjectKey& key) {
  return std::tie(object->kind, object->meta.ns, object->meta.name) <
         std::tie(key.kind, key.ns, key.name);
}

}  // namespace

void KubeStore::SetDiagnostics(const ObjectKey& key, std::vector<Diagnostic> diagnostics,
                               bool has_object) {
  for (Diagnostic& diagnostic : diagnostics) {
    if (diagnostic.severity != Severity::kError || !has_object) continue;
    absl::StrAppend(&diagnostic.message, " (the last good version stays in effect)");
  }
  const auto at = diagnostics_.find(key);
  if (diagnostics.empty()) {
    if (at == diagnostics_.end()) return;
    diagnostics_.erase(at);
  } else if (at == diagnostics_.end()) {
    diagnostics_.emplace(key, std::move(diagnostics));
  } else if (at->second == diagnostics) {
    return;
  } else {
    at->second = std::move(diagnostics);
  }
  diagnostics_changed_ = true;
}

void KubeStore::SetLive(const ObjectKey& key, LiveObjectPtr live, Entry* entry) {
  const bool same = entry->live != nullptr && live != nullptr && entry->live->uid == live->uid &&
                    entry->live->resource_version == live->resource_version &&
                    entry->live->resource == live->resource;
  if (same || (entry->live == nullptr && live == nullptr)) return;
  entry->live = std::move(live);
  live_.insert(key);
}

void KubeStore::Apply(Arrival arrival) {
  const auto at = entries_.find(arrival.key);
  if (arrival.gone) {
    if (at == entries_.end()) return;
    Touch(arrival.key, at->second.object);
    SetLive(arrival.key, nullptr, &at->second);
    SetDiagnostics(arrival.key, {}, false);
    entries_.erase(at);
    return;
  }
  Entry& entry = at != entries_.end() ? at->second : entries_[arrival.key];
  if (arrival.object != nullptr &&
      (entry.object == nullptr || entry.fingerprint != arrival.fingerprint)) {
    Touch(arrival.key, entry.object);
    entry.object = std::move(arrival.object);
    entry.fingerprint = arrival.fingerprint;
  }
  SetLive(arrival.key, std::move(arrival.live), &entry);
  SetDiagnostics(arrival.key, std::move(arrival.diagnostics), entry.object != nullptr);
}

void KubeStore::Replace(Kind kind, std::vector<Arrival> arrivals) {
  std::set<ObjectKey> present;
  for (Arrival& arrival : arrivals) {
    present.insert(arrival.key);
    Apply(std::move(arrival));
  }
  std::vector<Arrival> gone;
  for (auto at = entries_.lower_bound({.kind = kind}); at != entries_.end(); ++at) {
    if (at->first.kind != kind) break;
    if (present.count(at->first) > 0) continue;
    gone.push_back({.key = at->first, .gone = true});
  }
  for (Arrival& arrival : gone) Apply(std::move(arrival));
}

KubeStore::Effect KubeStore::Take() {
  UpdateInEffect();
  Effect effect;
  for (const auto& [key, before] : std::exchange(before_, {})) {
    const auto at = entries_.find(key);
    const ObjectPtr now = at == entries_.end() ? nullptr : at->second.object;
    if (now == before) continue;
    if (now == nullptr) {
      effect.changes.deleted.push_back(key);
    } else {
      effect.changes.updated.push_back(now);
    }
  }
  effect.live.assign(live_.begin(), live_.end());
  live_.clear();
  effect.diagnostics = std::exchange(diagnostics_changed_, false);
  return effect;
}

void KubeStore::UpdateInEffect() {
  // Each costs a search and perhaps a move of what follows: many are made anew at once.
  constexpr size_t kFewMax = 64;
  if (before_.size() > kFewMax) {
    in_effect_.clear();
    in_effect_.reserve(entries_.size());
    for (const auto& [key, entry] : entries_) {
      if (entry.object != nullptr) in_effect_.push_back(entry.object);
    }
    return;
  }
  for (const auto& [key, before] : before_) {
    const auto found = entries_.find(key);
    const ObjectPtr now = found == entries_.end() ? nullptr : found->second.object;
    const auto at = std::lower_bound(in_effect_.begin(), in_effect_.end(), key, IsBefore);
    const bool there = at != in_effect_.end() && before != nullptr;
    if (there && now != nullptr) {
      *at = now;
    } else if (there) {
      in_effect_.erase(at);
    } else if (now != nullptr) {
      in_effect_.insert(at, now);
    }
  }
}

std::vector<Diagnostic> KubeStore::Diagnostics() const {
  std::vector<Diagnostic> all;
  for (const auto& [key, found] : diagnostics_) all.insert(all.end(), found.begin(), found.end());
  return all;
}

LiveObjectPtr KubeStore::Live(const ObjectKey& key) const {
  const auto at = entries_.find(key);
  return at == entries_.end() ? nullptr : at->second.live;
}

std::vector<ObjectKey> KubeStore::LiveKeys() const {
  std::vector<ObjectKey> keys;
  for (const auto& [key, entry] : entries_) {
    if (entry.live != nullptr) keys.push_back(key);
  }
  return keys;
}

}  // namespace meltemi::pilot
