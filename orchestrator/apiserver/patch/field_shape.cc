#include "orchestrator/apiserver/patch/field_shape.h"

namespace meltemi::apiserver {

Shape ShapeOf(const Schema* schema, const json::Value& value) {
  if (schema == nullptr) return value.is_object() ? Shape::kMap : Shape::kLeaf;
  switch (schema->type) {
    case SchemaType::kAny:
      return value.is_object() && !schema->atomic_map ? Shape::kMap : Shape::kLeaf;
    case SchemaType::kObject:
      return schema->atomic_map ? Shape::kLeaf : Shape::kMap;
    case SchemaType::kArray:
      return schema->list_type == ListType::kAtomic ? Shape::kLeaf : Shape::kList;
    default:
      return Shape::kLeaf;
  }
}

const Schema* MemberSchema(const Schema* schema, absl::string_view name, bool* named) {
  *named = false;
  if (schema == nullptr) return nullptr;
  if (const Property* property = schema->Find(name)) {
    *named = true;
    return property->schema;
  }
  return schema->values;
}

}  // namespace meltemi::apiserver
