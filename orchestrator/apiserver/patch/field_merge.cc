#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "orchestrator/apiserver/patch/field_path.h"
#include "orchestrator/apiserver/patch/field_shape.h"
#include "orchestrator/apiserver/patch/field_walk.h"

namespace meltemi::apiserver {
namespace {

using json::Member;
using json::Value;

// Nullopt: nothing is left of it.
std::optional<Value> Merge(const Schema* schema, const Value* live, const Value* applied);

std::optional<Value> MergeMembers(const Schema* schema, const Value* live, const Value* applied) {
  Value out = Value::Object();
  auto add = [&](const std::string& key, const Value* live_member, const Value* applied_member) {
    bool named = false;
    const Schema* below = MemberSchema(schema, key, &named);
    std::optional<Value> merged = Merge(below, live_member, applied_member);
    if (merged.has_value()) out.Add(key, *std::move(merged));
  };
  absl::flat_hash_map<absl::string_view, const Value*> others;
  if (applied != nullptr) {
    for (const Member& member : applied->members()) others.emplace(member.key, &member.value);
  }
  absl::flat_hash_set<absl::string_view> done;
  if (live != nullptr) {
    for (const Member& member : live->members()) {
      auto other = others.find(member.key);
      add(member.key, &member.value, other == others.end() ? nullptr : other->second);
      if (other != others.end()) done.insert(member.key);
    }
  }
  if (applied != nullptr) {
    for (const Member& member : applied->members()) {
      if (!done.contains(member.key)) add(member.key, nullptr, &member.value);
    }
  }
  if (out.members().empty()) return std::nullopt;
  return out;
}

// The entries of one list, each with its element.
struct Entries {
  std::vector<std::pair<std::string, const Value*>> row;
  // Null for what is there more than once.
  absl::flat_hash_map<std::string, const Value*> by_element;

  Entries(const Schema& schema, const Value* list) {
    if (list == nullptr) return;
    for (const Value& entry : list->items()) {
      std::string why;
      std::optional<std::string> element = EntryElement(schema, entry, &why);
      if (!element.has_value()) continue;
      auto [place, is_new] = by_element.emplace(*element, &entry);
      if (!is_new) place->second = nullptr;
      row.push_back({*std::move(element), &entry});
    }
  }
  bool Has(const std::string& element) const { return by_element.contains(element); }
  const Value* Find(const std::string& element) const {
    auto found = by_element.find(element);
    return found == by_element.end() ? nullptr : found->second;
  }
};

// The applied entries in their order; entries of the live list that are not applied stay behind the
// one that they follow there.
class ListMerger {
 public:
  ListMerger(const Schema& schema, const Value* live, const Value* applied)
      : schema_(schema), live_(schema, live), applied_(schema, applied) {
    for (const auto& [element, entry] : applied_.row) {
      if (live_.Has(element)) shared_.push_back(&element);
    }
  }

  std::optional<Value> Run() {
    size_t l = 0, r = 0;
    while (l < live_.row.size() || r < applied_.row.size()) Step(&l, &r);
    if (out_.items().empty()) return std::nullopt;
    return std::move(out_);
  }

 private:
  // The applied entry that is also in the live list and comes next.
  const std::string* NextShared() const {
    return next_shared_ < shared_.size() ? shared_[next_shared_] : nullptr;
  }

  void Take(const Value* live, const Value* applied) {
    std::optional<Value> merged = Merge(schema_.items, live, applied);
    if (merged.has_value()) out_.Append(*std::move(merged));
  }

  void TakeApplied(const std::string& element) {
    merged_.insert(element);
    Take(live_.Find(element), applied_.Find(element));
  }

  void Step(size_t* l, size_t* r) {
    bool both = *l < live_.row.size() && *r < applied_.row.size();
    if (both) {
      const std::string& element = live_.row[*l].first;
      if (element == applied_.row[*r].first) {
        TakeApplied(element);
        ++*l, ++*r, ++next_shared_;
        return;
      }
      const std::string* next = NextShared();
      if (applied_.Has(element) && next != nullptr && *next != element) {
        ++*l;  // its turn comes with the applied ones
        return;
      }
    }
    if (*l < live_.row.size()) {
      const auto& [element, entry] = live_.row[*l];
      if (!applied_.Has(element)) {
        Take(entry, nullptr);
        ++*l;
        return;
      }
      if (merged_.contains(element)) ++*l;
    }
    if (*r < applied_.row.size()) {
      const std::string& element = applied_.row[*r].first;
      TakeApplied(element);
      ++*r;
      const std::string* next = NextShared();
      if (next != nullptr && *next == element) ++next_shared_;
    }
  }

  const Schema& schema_;
  const Entries live_, applied_;
  std::vector<const std::string*> shared_;
  size_t next_shared_ = 0;
  absl::flat_hash_set<std::string> merged_;
  Value out_ = Value::Array();
};

std::optional<Value> Merge(const Schema* schema, const Value* live, const Value* applied) {
  const Value& last = applied != nullptr ? *applied : *live;
  Shape shape = ShapeOf(schema, last);
  auto has = [shape](const Value* value) {
    if (value == nullptr) return false;
    return shape == Shape::kMap ? !value->members().empty() : !value->items().empty();
  };
  if (shape == Shape::kLeaf || (!has(live) && !has(applied))) return last;
  if (shape == Shape::kMap) return MergeMembers(schema, live, applied);
  return ListMerger(*schema, live, applied).Run();
}

}  // namespace

Value MergeApplied(const Schema& schema, const Value& live, const Value& applied) {
  return Merge(&schema, &live, &applied).value_or(Value::Object());
}

}  // namespace meltemi::apiserver
