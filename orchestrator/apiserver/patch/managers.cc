#include "orchestrator/apiserver/patch/managers.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/patch/go_text.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

constexpr size_t kUpdatersMax = 10;
constexpr absl::string_view kAncient = "ancient-changes";

// RFC 3339 in UTC with whole seconds sorts as text; "" comes first, as time zero does.
auto OrderOf(const ManagerEntry& entry) {
  return std::tie(entry.time, entry.manager, entry.api_version, entry.subresource);
}

bool IsEntryMember(absl::string_view name) {
  return name == "manager" || name == "operation" || name == "apiVersion" || name == "time" ||
         name == "fieldsType" || name == "fieldsV1" || name == "subresource";
}

std::optional<ManagerEntry> EntryOf(Value value) {
  ManagerEntry entry;
  absl::string_view operation = value.FindString("operation");
  if (operation != "Apply" && operation != "Update") return std::nullopt;
  if (value.FindString("fieldsType") != "FieldsV1") return std::nullopt;
  entry.applies = operation == "Apply";
  entry.manager = std::string(value.FindString("manager"));
  entry.api_version = std::string(value.FindString("apiVersion"));
  entry.subresource = std::string(value.FindString("subresource"));
  entry.time = std::string(value.FindString("time"));
  if (entry.api_version.empty()) return std::nullopt;
  const Value* fields = value.Find("fieldsV1");
  bool canonical = std::all_of(value.members().begin(), value.members().end(),
                               [](const json::Member& m) { return IsEntryMember(m.key); });
  if (fields == nullptr || fields->is_null()) {
    canonical = false;
  } else {
    std::optional<FieldSet> set = FieldSet::FromJson(*fields, &canonical);
    if (!set.has_value()) return std::nullopt;
    entry.fields = *std::move(set);
  }
  if (canonical) entry.written = std::move(value);
  return entry;
}

Value JsonOf(ManagerEntry&& entry) {
  if (entry.written.has_value()) return *std::move(entry.written);
  Value out = Value::Object();
  out.members().reserve(7);
  if (!entry.manager.empty()) out.Add("manager", Value::String(entry.manager));
  out.Add("operation", Value::String(entry.applies ? "Apply" : "Update"));
  out.Add("apiVersion", Value::String(entry.api_version));
  if (!entry.time.empty()) out.Add("time", Value::String(entry.time));
  out.Add("fieldsType", Value::String("FieldsV1"));
  out.Add("fieldsV1", entry.fields.ToJson());
  if (!entry.subresource.empty()) out.Add("subresource", Value::String(entry.subresource));
  return out;
}

}  // namespace

bool ManagerEntry::SameManager(const ManagerEntry& other) const {
  return applies == other.applies && manager == other.manager && subresource == other.subresource &&
         (applies || api_version == other.api_version);
}

std::string ManagerEntry::Text() const {
  std::string text = GoQuotedText(manager);
  if (!subresource.empty()) {
    absl::StrAppend(&text, " with subresource ", GoQuotedText(subresource));
  }
  if (!applies) absl::StrAppend(&text, " using ", api_version);
  return text;
}

std::optional<Managers> Managers::FromJson(Value managed_fields) {
  Managers managers;
  if (managed_fields.is_null()) return managers;
  if (!managed_fields.is_array()) return std::nullopt;
  managers.entries_.reserve(managed_fields.items().size() + 1);
  for (Value& item : managed_fields.items()) {
    std::optional<ManagerEntry> entry = EntryOf(std::move(item));
    if (!entry.has_value()) return std::nullopt;
    // The last of two wins.
    managers.Of(*entry) = *std::move(entry);
  }
  return managers;
}

Value Managers::ToJson() && {
  if (entries_.empty()) return Value();
  std::sort(entries_.begin(), entries_.end(), [](const ManagerEntry& a, const ManagerEntry& b) {
    if (a.applies != b.applies) return a.applies;
    return OrderOf(a) < OrderOf(b);
  });
  Value out = Value::Array();
  out.items().reserve(entries_.size());
  for (ManagerEntry& entry : entries_) out.Append(JsonOf(std::move(entry)));
  return out;
}

ManagerEntry* Managers::Find(const ManagerEntry& like) {
  for (ManagerEntry& entry : entries_) {
    if (entry.SameManager(like)) return &entry;
  }
  return nullptr;
}

ManagerEntry& Managers::Of(const ManagerEntry& like) {
  if (ManagerEntry* entry = Find(like)) return *entry;
  ManagerEntry entry;
  entry.manager = like.manager;
  entry.applies = like.applies;
  entry.api_version = like.api_version;
  entry.subresource = like.subresource;
  return entries_.emplace_back(std::move(entry));
}

void Managers::RemoveEmpty() {
  entries_.erase(std::remove_if(entries_.begin(), entries_.end(),
                                [](const ManagerEntry& entry) { return entry.fields.empty(); }),
                 entries_.end());
}

void Managers::Cap() {
  size_t count = static_cast<size_t>(std::count_if(
      entries_.begin(), entries_.end(), [](const ManagerEntry& entry) { return !entry.applies; }));
  if (count <= kUpdatersMax) return;
  std::vector<ManagerEntry> updaters, rest;
  for (ManagerEntry& entry : entries_)
    (entry.applies ? rest : updaters).push_back(std::move(entry));
  std::stable_sort(
      updaters.begin(), updaters.end(),
      [](const ManagerEntry& a, const ManagerEntry& b) { return OrderOf(a) < OrderOf(b); });
  size_t excess = updaters.size() - kUpdatersMax;
  // The oldest entry of each version becomes the one that the following are merged into.
  std::map<std::string, size_t> buckets;
  std::vector<ManagerEntry> kept;
  for (ManagerEntry& entry : updaters) {
    auto [bucket, first] = buckets.emplace(entry.api_version, kept.size());
    if (first || excess == 0) {
      kept.push_back(std::move(entry));
      continue;
    }
    ManagerEntry& oldest = kept[bucket->second];
    oldest.manager = std::string(kAncient);
    oldest.subresource.clear();
    oldest.time = entry.time;
    oldest.SetFields(Union(oldest.fields, entry.fields));
    --excess;
  }
  entries_ = std::move(rest);
  for (ManagerEntry& entry : kept) {
    // An older bucket may be among the kept.
    ManagerEntry* same = Find(entry);
    if (same == nullptr) {
      entries_.push_back(std::move(entry));
    } else {
      same->SetFields(Union(same->fields, entry.fields));
      same->time = std::max(same->time, entry.time);
    }
  }
}

}  // namespace meltemi::apiserver
