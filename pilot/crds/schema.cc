#include "pilot/crds/schema.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace meltemi::pilot {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::OneofDescriptor;
using json::Value;

Value Typed(const char* type) {
  Value out = Value::Object();
  out.Add("type", Value::String(type));
  return out;
}

Value Formatted(const char* type, const char* format) {
  Value out = Typed(type);
  out.Add("format", Value::String(format));
  return out;
}

Value Unjudged() {
  Value out = Typed("object");
  out.Add("x-kubernetes-preserve-unknown-fields", Value::Bool(true));
  return out;
}

Value Unsigned32() {
  Value out = Typed("integer");
  out.Add("maximum", Value::Int(4294967295));
  out.Add("minimum", Value::Int(0));
  return out;
}

Value Unsigned64() {
  Value out = Typed("integer");
  out.Add("minimum", Value::Int(0));
  return out;
}

Value OfEnum(const EnumDescriptor& names) {
  Value out = Typed("string");
  Value& all = out.Add("enum", Value::Array());
  for (int i = 0; i < names.value_count(); ++i) all.Append(Value::String(names.value(i)->name()));
  return out;
}

Value OfScalar(const FieldDescriptor& field) {
  switch (field.type()) {
    case FieldDescriptor::TYPE_BOOL:
      return Typed("boolean");
    case FieldDescriptor::TYPE_STRING:
      return Typed("string");
    case FieldDescriptor::TYPE_BYTES:
      return Formatted("string", "byte");
    case FieldDescriptor::TYPE_DOUBLE:
      return Formatted("number", "double");
    case FieldDescriptor::TYPE_FLOAT:
      return Formatted("number", "float");
    case FieldDescriptor::TYPE_UINT32:
    case FieldDescriptor::TYPE_FIXED32:
      return Unsigned32();
    case FieldDescriptor::TYPE_UINT64:
    case FieldDescriptor::TYPE_FIXED64:
      return Unsigned64();
    case FieldDescriptor::TYPE_INT32:
    case FieldDescriptor::TYPE_SINT32:
    case FieldDescriptor::TYPE_SFIXED32:
      return Formatted("integer", "int32");
    case FieldDescriptor::TYPE_ENUM:
      return OfEnum(*field.enum_type());
    default:
      return Formatted("integer", "int64");
  }
}

Value Required(const std::string& name) {
  Value out = Value::Object();
  out.Add("required", Value::Array()).Append(Value::String(name));
  return out;
}

// None of them, or one.
Value OneOf(const OneofDescriptor& oneof) {
  Value none = Value::Object();
  Value& any = none.Add("not", Value::Object()).Add("anyOf", Value::Array());
  Value choices = Value::Array();
  choices.Append(Value());
  for (int i = 0; i < oneof.field_count(); ++i) {
    any.Append(Required(oneof.field(i)->json_name()));
    choices.Append(Required(oneof.field(i)->json_name()));
  }
  choices.items().front() = std::move(none);
  return choices;
}

class SchemaWriter {
 public:
  Value OfMessage(const Descriptor& message) {
    const auto known = WellKnown(message);
    if (!known.is_null()) return known;
    if (!open_.insert(&message).second) return Unjudged();
    Value out = Typed("object");
    AddOneofs(message, &out);
    std::map<std::string, Value> properties;
    for (int i = 0; i < message.field_count(); ++i) {
      properties.emplace(message.field(i)->json_name(), OfField(*message.field(i)));
      // The one old name that Istio's definitions have, too.
      if (message.field(i)->name() == "mirror_percent") {
        properties.emplace(message.field(i)->name(), OfField(*message.field(i)));
      }
    }
    if (!properties.empty()) {
      Value& to = out.Add("properties", Value::Object());
      for (auto& [name, schema] : properties) to.Add(name, std::move(schema));
    }
    open_.erase(&message);
    return out;
  }

 private:
  static void AddOneofs(const Descriptor& message, Value* out) {
    std::vector<Value> oneofs;
    for (int i = 0; i < message.real_oneof_decl_count(); ++i) {
      // Of one there is nothing to choose.
      if (message.oneof_decl(i)->field_count() > 1) oneofs.push_back(OneOf(*message.oneof_decl(i)));
    }
    if (oneofs.size() == 1) {
      out->Add("oneOf", std::move(oneofs.front()));
    } else if (!oneofs.empty()) {
      Value& all = out->Add("allOf", Value::Array());
      for (Value& oneof : oneofs) {
        all.Append(Value::Object()).Add("oneOf", std::move(oneof));
      }
    }
  }

  // Null: it is an ordinary message.
  Value WellKnown(const Descriptor& message) {
    const std::string& name = message.full_name();
    if (name == "google.protobuf.Duration") return Typed("string");
    if (name == "google.protobuf.Timestamp") return Formatted("string", "date-time");
    if (name == "google.protobuf.Struct" || name == "google.protobuf.Any") return Unjudged();
    const bool wrapper = message.file()->name() == "google/protobuf/wrappers.proto";
    if (!wrapper) return Value();
    Value out = OfScalar(*message.field(0));
    out.Add("nullable", Value::Bool(true));
    return out;
  }

  Value OfOne(const FieldDescriptor& field) {
    return field.message_type() == nullptr ? OfScalar(field) : OfMessage(*field.message_type());
  }

  Value OfField(const FieldDescriptor& field) {
    if (field.is_map()) {
      Value out = Typed("object");
      out.Add("additionalProperties", OfOne(*field.message_type()->map_value()));
      return out;
    }
    if (!field.is_repeated()) return OfOne(field);
    Value out = Typed("array");
    out.Add("items", OfOne(field));
    return out;
  }

  std::set<const Descriptor*> open_;  // those that the present one is in
};

}  // namespace

Value SchemaOf(const Descriptor& message) { return SchemaWriter().OfMessage(message); }

}  // namespace meltemi::pilot
