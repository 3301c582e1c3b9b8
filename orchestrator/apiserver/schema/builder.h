// Schemas made by hand: for ObjectMeta of custom resources, and for tests.
//
// Threads: one thread; the schemas are the arena's.
#pragma once

#include "absl/strings/string_view.h"
#include "orchestrator/apiserver/schema/schema.h"

namespace meltemi::apiserver {

class SchemaBuilder {
 public:
  explicit SchemaBuilder(SchemaArena& arena) : arena_(arena) {}

  // Of a built-in kind: type_name as in Schema.
  Schema& Object(absl::string_view type_name);
  Schema& Scalar(SchemaType type, absl::string_view format = "");
  Schema& String(absl::string_view format = "") { return Scalar(SchemaType::kString, format); }
  Schema& Int32() { return Scalar(SchemaType::kInteger, "int32"); }
  Schema& Int64() { return Scalar(SchemaType::kInteger, "int64"); }
  Schema& Bool() { return Scalar(SchemaType::kBoolean); }
  Schema& Time() { return Scalar(SchemaType::kString, "date-time"); }
  Schema& Map(const Schema& values);
  Schema& List(const Schema& items);
  // x-kubernetes-list-type: set, merged by strategic merge.
  Schema& Set(const Schema& items);
  // x-kubernetes-list-type: map with one key, by which strategic merge goes, too.
  Schema& KeyedList(const Schema& items, absl::string_view key);

  // The reference lives until the next Add to the same object.
  Property& Add(Schema& object, absl::string_view name, const Schema& schema);

 private:
  SchemaArena& arena_;
};

// io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta, a new one with each call.
Schema& NewObjectMetaSchema(SchemaArena& arena);

}  // namespace meltemi::apiserver
