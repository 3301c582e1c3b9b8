#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/object/object.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/apiserver/schema/values.h"
#include "orchestrator/apiserver/schema/walk.h"

namespace meltemi::apiserver {
namespace {

using json::Member;
using json::Value;

constexpr size_t kReportedMax = 100;

bool IsCustom(const Schema& schema) { return schema.keywords != nullptr; }

// RawExtension and its like: any JSON, kept as it is.
bool IsRaw(const Schema& schema) {
  return !IsCustom(schema) && schema.type == SchemaType::kAny && schema.properties.empty();
}

void CanonicalText(const Schema& schema, Value& value) {
  if (schema.format == "quantity") {
    if (const auto quantity = kube::Quantity::Parse(value.text())) {
      value = Value::String(quantity->ToString());
    }
  } else if (schema.format == "date-time" && value.is_string()) {
    const std::optional<int64_t> micros = kube::ParseTimeMicros(value.text());
    if (!micros.has_value()) return;
    const bool fine = absl::EndsWith(schema.type_name, ".MicroTime");
    int64_t seconds = *micros / 1'000'000;
    if (*micros % 1'000'000 < 0) --seconds;
    value = Value::String(fine ? kube::FormatMicroTime(*micros) : kube::FormatTime(seconds));
  }
}

// What Go's decoder leaves behind for a null inside a list or a map.
Value ZeroValue(const Schema& schema) {
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
    case SchemaType::kAny:
    case SchemaType::kArray:
      break;
  }
  return Value();
}

class Pruner {
 public:
  void Walk(const Schema& schema, Value& value) {
    if (IsRaw(schema)) return;
    switch (value.kind()) {
      case Value::Kind::kObject:
        return WalkObject(schema, value);
      case Value::Kind::kArray:
        return WalkArray(schema, value);
      case Value::Kind::kString:
        if (!IsCustom(schema)) CanonicalText(schema, value);
        return;
      case Value::Kind::kNumber:
        return WalkNumber(schema, value);
      case Value::Kind::kNull:
      case Value::Kind::kBool:
        return;
    }
  }

  std::vector<std::string> TakeRemoved() { return std::move(removed_); }

 private:
  void WalkNumber(const Schema& schema, Value& value) {
    if (!IsCustom(schema)) return CanonicalText(schema, value);
    // 3.0 is an integer to custom resources.
    if (schema.type != SchemaType::kInteger || IsIntLiteral(value)) return;
    if (const auto integer = value.AsInt64()) value = Value::Int(*integer);
  }

  void WalkObject(const Schema& schema, Value& value) {
    const bool holds_members = schema.type == SchemaType::kObject || IsCustom(schema);
    if (!holds_members) return;  // a type error, which CheckTypes reports
    std::vector<Member>& members = value.members();
    const size_t parent_size = path_.size();
    size_t kept = 0;
    for (size_t i = 0; i < members.size(); ++i) {
      Member& member = members[i];
      absl::StrAppend(&path_, path_.empty() ? "" : ".", member.key);
      if (Keep(schema, member)) {
        if (kept != i) members[kept] = std::move(member);
        ++kept;
      }
      path_.resize(parent_size);
    }
    members.resize(kept);
  }

  // Prunes the member's value; false: the member itself goes.
  bool Keep(const Schema& schema, Member& member) {
    const Property* property = schema.Find(member.key);
    const Schema* child = property != nullptr ? property->schema : schema.values;
    if (child == nullptr) {
      if (schema.preserve_unknown) return true;
      if (removed_.size() < kReportedMax) removed_.push_back(path_);
      return false;
    }
    if (!member.value.is_null()) {
      Walk(*child, member.value);
      return true;
    }
    if (child->nullable) return true;
    if (property != nullptr || IsCustom(schema)) return false;
    member.value = ZeroValue(*child);  // an entry of a map
    return true;
  }

  void WalkArray(const Schema& schema, Value& value) {
    if (schema.items == nullptr) return;
    const size_t parent_size = path_.size();
    for (size_t i = 0; i < value.items().size(); ++i) {
      Value& item = value.items()[i];
      if (item.is_null() && !IsCustom(schema)) item = ZeroValue(*schema.items);
      absl::StrAppend(&path_, "[", i, "]");
      Walk(*schema.items, item);
      path_.resize(parent_size);
    }
  }

  std::string path_;
  std::vector<std::string> removed_;
};

}  // namespace

std::vector<std::string> Prune(const Schema& schema, Value& object) {
  Pruner pruner;
  pruner.Walk(schema, object);
  std::vector<std::string> removed = pruner.TakeRemoved();
  if (IsCustom(schema)) std::sort(removed.begin(), removed.end());
  return removed;
}

void ApplyDefaults(const Schema& schema, Value& value) {
  if (value.is_array()) {
    if (schema.items == nullptr) return;
    for (Value& item : value.items()) {
      if (item.is_null() && !schema.items->nullable && schema.items->default_value.has_value()) {
        item = *schema.items->default_value;
      }
      ApplyDefaults(*schema.items, item);
    }
    return;
  }
  if (!value.is_object()) return;
  for (const Property& property : schema.properties) {
    const std::optional<Value>& fallback = property.default_value.has_value()
                                               ? property.default_value
                                               : property.schema->default_value;
    if (!fallback.has_value()) continue;
    Value* member = value.Find(property.name);
    if (member == nullptr) {
      value.Add(property.name, *fallback);
    } else if (member->is_null() && !property.schema->nullable) {
      *member = *fallback;
    }
  }
  for (Member& member : value.members()) {
    const Property* property = schema.Find(member.key);
    const Schema* child = property != nullptr ? property->schema : schema.values;
    if (child == nullptr) continue;
    if (member.value.is_null() && property == nullptr && !child->nullable &&
        child->default_value.has_value()) {
      member.value = *child->default_value;
    }
    ApplyDefaults(*child, member.value);
  }
}

}  // namespace meltemi::apiserver
