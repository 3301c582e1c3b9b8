#include "orchestrator/apiserver/schema/builder.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace meltemi::apiserver {

Schema& SchemaBuilder::Object(absl::string_view type_name) {
  Schema& schema = arena_.New();
  schema.type = SchemaType::kObject;
  schema.type_name = std::string(type_name);
  return schema;
}

Schema& SchemaBuilder::Scalar(SchemaType type, absl::string_view format) {
  Schema& schema = arena_.New();
  schema.type = type;
  schema.format = std::string(format);
  return schema;
}

Schema& SchemaBuilder::Map(const Schema& values) {
  Schema& schema = Object("");
  schema.values = &values;
  return schema;
}

Schema& SchemaBuilder::List(const Schema& items) {
  Schema& schema = Scalar(SchemaType::kArray);
  schema.items = &items;
  return schema;
}

Schema& SchemaBuilder::Set(const Schema& items) {
  Schema& schema = List(items);
  schema.list_type = ListType::kSet;
  schema.patch.merge = true;
  return schema;
}

Schema& SchemaBuilder::KeyedList(const Schema& items, absl::string_view key) {
  Schema& schema = List(items);
  schema.list_type = ListType::kMap;
  schema.list_map_keys.emplace_back(key);
  schema.patch.merge = true;
  schema.patch.merge_key = std::string(key);
  return schema;
}

Property& SchemaBuilder::Add(Schema& object, absl::string_view name, const Schema& schema) {
  object.property_index[std::string(name)] = object.properties.size();
  Property& property = object.properties.emplace_back();
  property.name = std::string(name);
  property.schema = &schema;
  return property;
}

namespace {

constexpr absl::string_view kMetaV1 = "io.k8s.apimachinery.pkg.apis.meta.v1.";

class ObjectMetaBuilder {
 public:
  explicit ObjectMetaBuilder(SchemaArena& arena)
      : build_(arena), text_(build_.String()), flag_(build_.Bool()), time_(build_.Time()) {
    time_.type_name = absl::StrCat(kMetaV1, "Time");
  }

  Schema& Build() {
    Schema& meta = build_.Object(absl::StrCat(kMetaV1, "ObjectMeta"));
    meta.description = "What every object carries: its name, labels, owners and bookkeeping.";
    Text(meta, "name", "Unique among the objects of its kind in its namespace.");
    Text(meta, "generateName", "A prefix from which the server makes a name if there is none.");
    Text(meta, "namespace", "The space within which the name is unique.");
    Text(meta, "selfLink", "No longer filled in.");
    Text(meta, "uid", "Tells this object from all others, also former ones of the same name.");
    Text(meta, "resourceVersion", "Changes with every change of the object.");
    Describe(Omit(build_.Add(meta, "generation", build_.Int64())),
             "Counts the changes of the desired state.");
    Describe(build_.Add(meta, "creationTimestamp", time_), "When the server made the object.");
    Describe(build_.Add(meta, "deletionTimestamp", time_),
             "When the object is to be gone; set by the server once deletion was asked for.");
    Describe(build_.Add(meta, "deletionGracePeriodSeconds", build_.Int64()),
             "Seconds that the object had to end by itself; set with deletionTimestamp.");
    Describe(Omit(build_.Add(meta, "labels", build_.Map(text_))),
             "Keys and values that selectors look at.");
    Describe(Omit(build_.Add(meta, "annotations", build_.Map(text_))),
             "Keys and values that tools keep here.");
    Describe(Omit(build_.Add(meta, "ownerReferences", build_.KeyedList(Owner(), "uid"))),
             "Objects on which this one depends: when all are gone, it is deleted.");
    Describe(Omit(build_.Add(meta, "finalizers", build_.Set(text_))),
             "Each must be removed by its owner before the object goes away.");
    Describe(Omit(build_.Add(meta, "managedFields", build_.List(ManagedFields()))),
             "Which manager set which fields.");
    return meta;
  }

 private:
  static Property& Omit(Property& property) {
    property.presence = Presence::kOmitEmpty;
    return property;
  }
  static void Describe(Property& property, absl::string_view description) {
    property.description = std::string(description);
  }
  void Text(Schema& object, absl::string_view name, absl::string_view description) {
    Describe(Omit(build_.Add(object, name, text_)), description);
  }
  Schema& Owner() {
    Schema& owner = build_.Object(absl::StrCat(kMetaV1, "OwnerReference"));
    owner.description = "An object in the same namespace, or a cluster-wide one.";
    owner.atomic_map = true;
    for (const absl::string_view name : {"apiVersion", "kind", "name", "uid"}) {
      Property& property = build_.Add(owner, name, text_);
      property.required = true;
      property.presence = Presence::kAlways;
    }
    Describe(build_.Add(owner, "controller", flag_), "It is the one that manages this object.");
    Describe(build_.Add(owner, "blockOwnerDeletion", flag_),
             "A foreground deletion of the owner waits for this object.");
    return owner;
  }
  Schema& ManagedFields() {
    Schema& entry = build_.Object(absl::StrCat(kMetaV1, "ManagedFieldsEntry"));
    entry.description = "The fields of one manager.";
    for (const absl::string_view name :
         {"manager", "operation", "apiVersion", "fieldsType", "subresource"}) {
      Omit(build_.Add(entry, name, text_));
    }
    build_.Add(entry, "time", time_);
    Schema& fields = build_.Scalar(SchemaType::kAny);
    fields.type_name = absl::StrCat(kMetaV1, "FieldsV1");
    fields.preserve_unknown = true;
    build_.Add(entry, "fieldsV1", fields);
    return entry;
  }

  SchemaBuilder build_;
  Schema& text_;
  Schema& flag_;
  Schema& time_;
};

}  // namespace

Schema& NewObjectMetaSchema(SchemaArena& arena) { return ObjectMetaBuilder(arena).Build(); }

}  // namespace meltemi::apiserver
