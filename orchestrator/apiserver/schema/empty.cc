#include "orchestrator/apiserver/schema/empty.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace meltemi::apiserver {
namespace {

using json::Value;

bool IsStruct(const Schema& schema) {
  return schema.type == SchemaType::kObject && schema.values == nullptr && !schema.preserve_unknown;
}

bool IsQuantity(const Schema& schema) {
  return schema.type == SchemaType::kString && schema.format == "quantity";
}

bool IsEmpty(const Schema& schema, const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kNull:
      return true;
    case Value::Kind::kBool:
      return !value.bool_value();
    case Value::Kind::kNumber: {
      const std::optional<double> number = value.AsDouble();
      return number.has_value() && *number == 0;
    }
    case Value::Kind::kString:
      // "" is an IntOrString of its own; a Quantity is never empty text.
      return value.text().empty() && schema.type != SchemaType::kIntOrString;
    case Value::Kind::kArray:
      return value.items().empty();
    case Value::Kind::kObject:
      return value.members().empty();
  }
  return false;
}

Value EmptyOf(const Schema& schema) {
  if (IsStruct(schema)) return Value::Object();
  switch (schema.type) {
    case SchemaType::kString:
      if (IsQuantity(schema)) return Value::String("0");
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

// Calls `visit` with each value below `value` that has a schema.
template <typename Visit>
void ForEachBelow(const Schema& schema, Value& value, const Visit& visit) {
  if (value.is_array() && schema.items != nullptr) {
    for (Value& item : value.items()) visit(*schema.items, item);
  } else if (value.is_object() && schema.values != nullptr) {
    for (json::Member& member : value.members()) visit(*schema.values, member.value);
  } else if (value.is_object()) {
    for (json::Member& member : value.members()) {
      const auto it = schema.property_index.find(member.key);
      if (it != schema.property_index.end()) {
        visit(*schema.properties[it->second].schema, member.value);
      }
    }
  }
}

bool DropsWhenEmpty(const Schema& schema, const json::Member& member) {
  const auto it = schema.property_index.find(member.key);
  if (it == schema.property_index.end()) return false;
  const Property& property = schema.properties[it->second];
  if (property.presence == Presence::kGiven) return member.value.is_null();
  return IsEmpty(*property.schema, member.value);
}

}  // namespace

void DropEmpty(const Schema& schema, Value& object) {
  ForEachBelow(schema, object, [](const Schema& s, Value& v) { DropEmpty(s, v); });
  if (!object.is_object() || schema.property_index.empty()) return;
  std::vector<json::Member>& members = object.members();
  members.erase(
      std::remove_if(members.begin(), members.end(),
                     [&](const json::Member& member) { return DropsWhenEmpty(schema, member); }),
      members.end());
}

void AddEmpty(const Schema& schema, Value& object) {
  if (object.is_object() && schema.values == nullptr) {
    for (const Property& property : schema.properties) {
      if (property.presence != Presence::kAlways || object.Find(property.name) != nullptr) continue;
      object.Add(property.name, EmptyOf(*property.schema));
    }
  }
  ForEachBelow(schema, object, [](const Schema& s, Value& v) { AddEmpty(s, v); });
}

}  // namespace meltemi::apiserver
