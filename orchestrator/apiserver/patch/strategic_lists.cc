#include <algorithm>
#include <limits>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/patch/go_text.h"
#include "orchestrator/apiserver/patch/same_json.h"
#include "orchestrator/apiserver/patch/strategic_merge.h"

namespace meltemi::apiserver::strategic {
namespace {

using json::Value;

constexpr size_t kNowhere = std::numeric_limits<size_t>::max();

// What makes an entry the same as another: its merge key, or for scalars the value itself.
std::string KeyOf(const Value& item, absl::string_view merge_key) {
  if (merge_key.empty()) return ScalarKey(item);
  const Value* key = item.Find(merge_key);
  return key == nullptr ? "" : ScalarKey(*key);
}

// Where in a list each key stands first.
class Places {
 public:
  Places(const std::vector<Value>& items, absl::string_view merge_key) {
    for (size_t i = 0; i < items.size(); ++i) Add(KeyOf(items[i], merge_key), i);
  }
  void Add(std::string key, size_t place) { places_.emplace(std::move(key), place); }
  size_t Of(const std::string& key) const {
    auto found = places_.find(key);
    return found == places_.end() ? kNowhere : found->second;
  }
  bool Has(const std::string& key) const { return places_.contains(key); }

 private:
  absl::flat_hash_map<std::string, size_t> places_;
};

// All entries of both lists are scalars, or all are maps; *maps tells which.
Failure CheckEntries(const std::vector<Value>& a, const std::vector<Value>& b, bool* maps) {
  const Value* first = !a.empty() ? &a.front() : !b.empty() ? &b.front() : nullptr;
  *maps = first != nullptr && first->is_object();
  for (const std::vector<Value>* list : {&a, &b}) {
    for (const Value& item : *list) {
      if (item.is_array()) return PatchDoesNotApply("lists of lists are not supported");
      if (GoTypeName(item) == GoTypeName(*first)) continue;
      std::string lists = "[";
      for (const std::vector<Value>* printed : {&a, &b}) {
        Value whole = Value::Array();
        whole.items() = *printed;
        absl::StrAppend(&lists, printed == &b ? " " : "", GoValueText(whole));
      }
      return PlainError(absl::StrCat("list element types are not identical: ", lists, "]"));
    }
  }
  return std::nullopt;
}

Failure CheckMergeKeys(const std::vector<Value>& items, absl::string_view merge_key) {
  if (merge_key.empty()) return std::nullopt;
  for (const Value& item : items) {
    if (!item.is_object()) return WrongType("map[string]interface {}", item);
    if (item.Find(merge_key) == nullptr) return NoMergeKey(item, merge_key);
  }
  return std::nullopt;
}

struct Keyed {
  Value value;
  std::string key;
  size_t server_place = kNowhere;
};

void SortBy(const Places& order, std::vector<Keyed>* items) {
  std::stable_sort(items->begin(), items->end(), [&order](const Keyed& a, const Keyed& b) {
    return order.Of(a.key) < order.Of(b.key);
  });
}

// Entries that `wanted` names come in its order, the others in the server's; where the two meet,
// what stood further ahead on the server comes first.
void Arrange(const std::vector<Value>& wanted, const Places& server, absl::string_view merge_key,
             std::vector<Value>* items) {
  Places order(wanted, merge_key);
  std::vector<Keyed> named, others;
  for (Value& item : *items) {
    std::string key = KeyOf(item, merge_key);
    size_t place = server.Of(key);
    (order.Has(key) ? named : others).push_back({std::move(item), std::move(key), place});
  }
  SortBy(order, &named);
  SortBy(server, &others);
  items->clear();
  size_t next = 0;
  for (Keyed& item : named) {
    while (next < others.size() && others[next].server_place != kNowhere &&
           item.server_place != kNowhere && others[next].server_place < item.server_place) {
      items->push_back(std::move(others[next++].value));
    }
    items->push_back(std::move(item.value));
  }
  for (; next < others.size(); ++next) items->push_back(std::move(others[next].value));
}

// Carries out the entries of `patch` that are directives and takes them out of it.
Failure ApplyListDirectives(absl::string_view merge_key, std::vector<Value>* patch,
                            std::vector<Value>* original) {
  bool replace = false;
  absl::flat_hash_set<std::string> deleted;
  std::vector<Value> plain;
  for (Value& item : *patch) {
    const Value* directive = item.Find(kPatchDirective);
    if (directive == nullptr) {
      plain.push_back(std::move(item));
    } else if (directive->is_string() && directive->text() == "delete") {
      if (item.Find(merge_key) == nullptr) return NoMergeKey(item, merge_key);
      deleted.insert(KeyOf(item, merge_key));
    } else if (directive->is_string() && directive->text() == "replace") {
      replace = true;
    } else if (directive->is_string() && directive->text() == "merge") {
      return PlainError("merging lists cannot yet be specified in the patch");
    } else {
      return UnknownDirective(*directive, item);
    }
  }
  if (replace) {
    *original = std::move(plain);
    patch->clear();
    return std::nullopt;
  }
  if (!deleted.empty()) {
    original->erase(std::remove_if(original->begin(), original->end(),
                                   [&](const Value& item) {
                                     return item.Find(merge_key) != nullptr &&
                                            deleted.contains(KeyOf(item, merge_key));
                                   }),
                    original->end());
  }
  *patch = std::move(plain);
  return std::nullopt;
}

Failure MergeMaps(const Schema* items, absl::string_view merge_key, std::vector<Value> patch,
                  std::vector<Value>* original) {
  if (merge_key.empty()) return PlainError("cannot merge lists without merge key for struct");
  if (Failure failure = ApplyListDirectives(merge_key, &patch, original)) return failure;
  Places server(*original, merge_key);
  Places merged = server;
  std::vector<Value> order = patch;
  for (Value& item : patch) {
    if (item.Find(merge_key) == nullptr) return NoMergeKey(item, merge_key);
    std::string key = KeyOf(item, merge_key);
    size_t place = merged.Of(key);
    if (place != kNowhere) {
      Failure failure = MergeMap(items, std::move(item), &(*original)[place]);
      if (failure.has_value()) return failure;
      continue;
    }
    RemoveDirectives(&item, /*remove_nulls=*/false);
    merged.Add(std::move(key), original->size());
    original->push_back(std::move(item));
  }
  if (Failure failure = CheckMergeKeys(*original, merge_key)) return failure;
  Arrange(order, server, merge_key, original);
  return std::nullopt;
}

void MergeScalars(std::vector<Value> patch, std::vector<Value>* original) {
  Places server(*original, "");
  std::vector<Value> order = patch;
  absl::flat_hash_set<std::string> seen;
  std::vector<Value> merged;
  for (std::vector<Value>* side : {original, &patch}) {
    for (Value& item : *side) {
      if (seen.insert(ScalarKey(item)).second) merged.push_back(std::move(item));
    }
  }
  *original = std::move(merged);
  Arrange(order, server, "", original);
}

// What the patch sets must stand in the same order in `order`.
Failure CheckOrder(const Value& order, const Value& patch, absl::string_view merge_key) {
  if (order.items().empty()) return std::nullopt;
  size_t next = 0;
  for (const Value& item : patch.items()) {
    if (!merge_key.empty()) {
      if (!item.is_object()) return WrongType("map[string]interface {}", item);
      if (item.Find(kPatchDirective) != nullptr) continue;
      if (item.Find(merge_key) == nullptr) return NoMergeKey(item, merge_key);
    }
    std::string key = KeyOf(item, merge_key);
    while (next < order.items().size() && KeyOf(order.items()[next], merge_key) != key) ++next;
    if (next == order.items().size()) {
      return PlainError(absl::StrCat("The order in patch list:\n", GoValueText(patch),
                                     "\n doesn't match $setElementOrder list:\n",
                                     GoValueText(order), "\n"));
    }
    ++next;
  }
  return std::nullopt;
}

// The server's order as it decides about the outcome: new entries stand in the places of deleted
// ones (the reference works in place).
Places PlacesAfter(const std::vector<Value>& server, const std::vector<Value>& patch,
                   absl::string_view merge_key) {
  absl::flat_hash_set<std::string> deleted;
  for (const Value& item : patch) {
    if (item.FindString(kPatchDirective) == "delete") deleted.insert(KeyOf(item, merge_key));
  }
  Places places({}, merge_key);
  size_t count = 0;
  for (const Value& item : server) {
    std::string key = KeyOf(item, merge_key);
    if (!deleted.contains(key)) places.Add(std::move(key), count++);
  }
  for (const Value& item : patch) {
    if (count == server.size()) break;
    std::string key = KeyOf(item, merge_key);
    if (item.Find(kPatchDirective) == nullptr && !places.Has(key)) {
      places.Add(std::move(key), count++);
    }
  }
  return places;
}

}  // namespace

Failure MergeList(const Schema* schema, Value patch, Value* original) {
  if (schema == nullptr || !schema->patch.merge) {
    *original = std::move(patch);
    return std::nullopt;
  }
  if (patch.items().empty()) return std::nullopt;
  bool maps = false;
  if (Failure failure = CheckEntries(original->items(), patch.items(), &maps)) return failure;
  if (maps) {
    return MergeMaps(schema->items, schema->patch.merge_key, std::move(patch.items()),
                     &original->items());
  }
  MergeScalars(std::move(patch.items()), &original->items());
  return std::nullopt;
}

Failure DeleteFromList(const Value& remove, Value* original) {
  bool maps = false;
  if (Failure failure = CheckEntries(original->items(), remove.items(), &maps)) return failure;
  if (maps) return kube::BadRequest("invalid patch format of primitive list");
  Places gone(remove.items(), "");
  std::vector<Value>& items = original->items();
  items.erase(std::remove_if(items.begin(), items.end(),
                             [&gone](const Value& item) { return gone.Has(ScalarKey(item)); }),
              items.end());
  return std::nullopt;
}

Failure MergeOrdered(const Schema* schema, const Value& order, std::optional<Value> patch,
                     std::optional<Value>* original) {
  absl::string_view merge_key;
  if (schema != nullptr) merge_key = schema->patch.merge_key;
  if (patch.has_value()) {
    if (Failure failure = CheckOrder(order, *patch, merge_key)) return failure;
  }
  if (Failure failure = CheckMergeKeys(order.items(), merge_key)) return failure;
  if (!original->has_value()) {
    if (!patch.has_value()) return std::nullopt;
    RemoveDirectives(&*patch, /*remove_nulls=*/false);
    *original = *std::move(patch);
  } else if (patch.has_value()) {
    Places server = PlacesAfter((*original)->items(), patch->items(), merge_key);
    if (Failure failure = MergeList(schema, *std::move(patch), &**original)) return failure;
    if (Failure failure = CheckMergeKeys((*original)->items(), merge_key)) return failure;
    Arrange(order.items(), server, merge_key, &(*original)->items());
    return std::nullopt;
  }
  if (Failure failure = CheckMergeKeys((*original)->items(), merge_key)) return failure;
  Places server((*original)->items(), merge_key);
  Arrange(order.items(), server, merge_key, &(*original)->items());
  return std::nullopt;
}

}  // namespace meltemi::apiserver::strategic
