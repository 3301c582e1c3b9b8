#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "orchestrator/apiserver/patch/field_path.h"
#include "orchestrator/apiserver/patch/field_shape.h"
#include "orchestrator/apiserver/patch/field_walk.h"
#include "orchestrator/apiserver/patch/same_json.h"

namespace meltemi::apiserver {
namespace {

using json::Member;
using json::Value;

// Above this depth, parts that are the same are skipped at a glance. Below, a glance at every level
// would cost the product of depth and size.
constexpr size_t kGlanceDepthMax = 10;
// Larger maps are looked up by hash.
constexpr size_t kScannedMembersMax = 24;

// What a part turned out to be: itself, and everything below.
struct Delta {
  bool removed = false, modified = false, added = false;
  Comparison below;

  void Attach(const std::string& element, Delta child) {
    below.removed.Append(element, child.removed, std::move(child.below.removed));
    below.modified.Append(element, child.modified, std::move(child.below.modified));
    below.added.Append(element, child.added, std::move(child.below.added));
  }
  void Sort() {
    below.removed.Sort();
    below.modified.Sort();
    below.added.Sort();
  }
};

Value EmptyOf(const Schema& schema) {
  switch (schema.type) {
    case SchemaType::kObject:
      return schema.values == nullptr ? Value::Object() : Value();
    case SchemaType::kString:
      if (schema.format == "quantity") return Value::String("0");
      return schema.format.empty() ? Value::String("") : Value();
    case SchemaType::kInteger:
    case SchemaType::kNumber:
    case SchemaType::kIntOrString:
      return Value::Int(0);
    case SchemaType::kBoolean:
      return Value::Bool(false);
    default:
      return Value();
  }
}

// Looks members of one object up for each member of another that is written in a similar order.
class Beside {
 public:
  explicit Beside(const Value* object) : object_(object) {
    if (object_ == nullptr || object_->members().size() <= kScannedMembersMax) return;
    for (const Member& member : object_->members()) index_.emplace(member.key, &member.value);
  }

  const Value* Find(size_t place, absl::string_view key) const {
    if (object_ == nullptr) return nullptr;
    const std::vector<Member>& members = object_->members();
    if (place < members.size() && members[place].key == key) return &members[place].value;
    if (index_.empty()) return object_->Find(key);
    auto found = index_.find(key);
    return found == index_.end() ? nullptr : found->second;
  }

 private:
  const Value* const object_;
  absl::flat_hash_map<absl::string_view, const Value*> index_;
};

// One of `before` and `after` may be null: the part is new, or gone.
class Comparer {
 public:
  Delta Compare(const Schema* schema, const Value* before, const Value* after, size_t depth) {
    Delta delta;
    if (before != nullptr && after != nullptr && depth < kGlanceDepthMax &&
        SameJson(*before, *after)) {
      return delta;
    }
    std::optional<Shape> old_shape, new_shape;
    if (before != nullptr) old_shape = ShapeOf(schema, *before);
    if (after != nullptr) new_shape = ShapeOf(schema, *after);
    bool leaf = false;
    if (old_shape.has_value() && new_shape.has_value() && old_shape != new_shape) {
      Part(*old_shape, schema, before, after, depth, &delta);
    }
    leaf = Part(new_shape.value_or(old_shape.value_or(Shape::kLeaf)), schema, before, after, depth,
                &delta);
    if (!leaf) {
      delta.added = delta.added || before == nullptr;
      delta.removed = delta.removed || after == nullptr;
    }
    return delta;
  }

 private:
  // True when the part counts as one.
  bool Part(Shape shape, const Schema* schema, const Value* before, const Value* after,
            size_t depth, Delta* delta) {
    auto has = [](const Value* value, bool map) {
      return value != nullptr && (map ? !value->members().empty() : !value->items().empty());
    };
    bool map = shape == Shape::kMap;
    if (shape == Shape::kLeaf || (!has(before, map) && !has(after, map))) {
      if (before == nullptr) {
        delta->added = true;
      } else if (after == nullptr) {
        delta->removed = true;
      } else if (!SameJson(*before, *after)) {
        delta->modified = true;
      }
      // An empty struct has members that are always there.
      if (map) Members(schema, before, after, depth, delta);
      return true;
    }
    if (map) {
      Members(schema, before, after, depth, delta);
    } else {
      Entries(*schema, before, after, depth, delta);
    }
    return false;
  }

  void Members(const Schema* schema, const Value* before, const Value* after, size_t depth,
               Delta* delta) {
    if (before != nullptr && !before->is_object()) before = nullptr;
    if (after != nullptr && !after->is_object()) after = nullptr;
    Beside old_members(before), new_members(after);
    size_t place = 0;
    if (before != nullptr) {
      for (const Member& member : before->members()) {
        Both(schema, member.key, &member.value, new_members.Find(place++, member.key), after, depth,
             delta);
      }
    }
    place = 0;
    if (after != nullptr) {
      for (const Member& member : after->members()) {
        if (old_members.Find(place++, member.key) != nullptr) continue;
        Both(schema, member.key, nullptr, &member.value, before, depth, delta);
      }
    }
    if (schema != nullptr && (before == nullptr || after == nullptr)) {
      AlwaysThere(*schema, before, after, depth, delta);
    }
    delta->Sort();
  }

  // `other`: the object that lacks the member, where one does.
  void Both(const Schema* schema, const std::string& key, const Value* before, const Value* after,
            const Value* other, size_t depth, Delta* delta) {
    bool scalars = before != nullptr && after != nullptr && !before->is_object() &&
                   !before->is_array() && !after->is_object() && !after->is_array();
    if (scalars && SameJson(*before, *after)) return;
    const Property* property = schema == nullptr ? nullptr : schema->Find(key);
    const Schema* member_schema = property != nullptr ? property->schema
                                  : schema == nullptr ? nullptr
                                                      : schema->values;
    Value empty;
    if (property != nullptr && property->presence == Presence::kAlways && other != nullptr) {
      if (before == nullptr || after == nullptr) empty = EmptyOf(*property->schema);
      if (before == nullptr) before = &empty;
      if (after == nullptr) after = &empty;
    }
    Delta child = Compare(member_schema, before, after, depth + 1);
    delta->Attach(FieldElement(key), std::move(child));
  }

  // Members that are not written in an object that is new or gone.
  void AlwaysThere(const Schema& schema, const Value* before, const Value* after, size_t depth,
                   Delta* delta) {
    const Value* object = before != nullptr ? before : after;
    if (object == nullptr) return;
    for (const Property& property : schema.properties) {
      if (property.presence != Presence::kAlways || object->Find(property.name) != nullptr)
        continue;
      Value empty = EmptyOf(*property.schema);
      Delta child = Compare(property.schema, before == nullptr ? nullptr : &empty,
                            after == nullptr ? nullptr : &empty, depth + 1);
      delta->Attach(FieldElement(property.name), std::move(child));
    }
  }

  struct Same {  // entries with the same element
    std::vector<const Value*> before, after;
  };

  void Entries(const Schema& schema, const Value* before, const Value* after, size_t depth,
               Delta* delta) {
    absl::flat_hash_map<std::string, size_t> places;
    std::vector<std::pair<std::string, Same>> entries;
    for (const Value* list : {before, after}) {
      if (list == nullptr) continue;
      for (const Value& entry : list->items()) {
        std::string why;
        std::optional<std::string> element = EntryElement(schema, entry, &why);
        if (!element.has_value()) continue;
        auto [place, is_new] = places.emplace(*element, entries.size());
        if (is_new) entries.push_back({*std::move(element), {}});
        Same& same = entries[place->second].second;
        (list == before ? same.before : same.after).push_back(&entry);
      }
    }
    for (auto& [element, same] : entries) Entry(schema, element, same, depth, delta);
    delta->Sort();
  }

  // Duplicates count as one part.
  void Entry(const Schema& schema, const std::string& element, const Same& same, size_t depth,
             Delta* delta) {
    auto first = [](const std::vector<const Value*>& values) {
      return values.size() == 1 ? values[0] : nullptr;
    };
    bool many_before = same.before.size() > 1, many_after = same.after.size() > 1;
    Delta child;
    if (many_before && many_after) {
      child.modified =
          !std::equal(same.before.begin(), same.before.end(), same.after.begin(), same.after.end(),
                      [](const Value* a, const Value* b) { return SameJson(*a, *b); });
    } else {
      const Value* old_entry = first(same.before);
      const Value* new_entry = first(same.after);
      if (old_entry != nullptr || new_entry != nullptr) {
        child = Compare(schema.items, old_entry, new_entry, depth + 1);
      }
      if (many_before) child.removed = true;
      if (many_after) child.added = true;
    }
    delta->Attach(element, std::move(child));
  }
};

}  // namespace

Comparison CompareObjects(const Schema& schema, const Value& before, const Value& after) {
  return Comparer().Compare(&schema, &before, &after, 0).below;
}

}  // namespace meltemi::apiserver
