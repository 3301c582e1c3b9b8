#include "orchestrator/apiserver/schema/from_openapi.h"

#include <memory>
#include <optional>
#include <utility>

#include <re2/re2.h>

#include "orchestrator/apiserver/schema/builder.h"

namespace meltemi::apiserver {
namespace {

using json::Member;
using json::Value;

// The parser of requests allows less; this is for trees that come from elsewhere.
constexpr int kDepthMax = 128;

bool Flag(const Value& schema, absl::string_view name) {
  const Value* value = schema.Find(name);
  return value != nullptr && value->is_bool() && value->bool_value();
}

std::optional<double> Real(const Value& schema, absl::string_view name) {
  const Value* value = schema.Find(name);
  return value == nullptr ? std::nullopt : value->AsDouble();
}

std::optional<int64_t> Integer(const Value& schema, absl::string_view name) {
  const Value* value = schema.Find(name);
  return value == nullptr ? std::nullopt : value->AsInt64();
}

std::vector<std::string> Texts(const Value& schema, absl::string_view name) {
  std::vector<std::string> texts;
  const Value* value = schema.Find(name);
  if (value == nullptr) return texts;
  for (const Value& item : value->items()) {
    if (item.is_string()) texts.push_back(item.text());
  }
  return texts;
}

SchemaType TypeOf(const Value& schema) {
  if (Flag(schema, "x-kubernetes-int-or-string")) return SchemaType::kIntOrString;
  const absl::string_view type = schema.FindString("type");
  if (type == "object") return SchemaType::kObject;
  if (type == "array") return SchemaType::kArray;
  if (type == "string") return SchemaType::kString;
  if (type == "integer") return SchemaType::kInteger;
  if (type == "number") return SchemaType::kNumber;
  if (type == "boolean") return SchemaType::kBoolean;
  return SchemaType::kAny;
}

class Compiler {
 public:
  explicit Compiler(SchemaArena& arena) : arena_(arena), build_(arena) {}

  Schema& Root(const Value& source) {
    Schema& schema = arena_.New();
    schema.embedded_resource = true;
    auto keywords = std::make_unique<SchemaKeywords>();
    keywords->open_api = std::make_shared<const Value>(source);
    Fill(source, 0, schema, *keywords);
    schema.type = SchemaType::kObject;
    schema.nullable = false;
    schema.keywords = std::move(keywords);
    return schema;
  }

  Schema& Node(const Value& source, int depth) {
    Schema& schema = arena_.New();
    auto keywords = std::make_unique<SchemaKeywords>();
    if (depth < kDepthMax) Fill(source, depth, schema, *keywords);
    schema.keywords = std::move(keywords);
    return schema;
  }

 private:
  void Fill(const Value& source, int depth, Schema& schema, SchemaKeywords& keywords) {
    schema.type = TypeOf(source);
    schema.description = std::string(source.FindString("description"));
    schema.format = std::string(source.FindString("format"));
    schema.nullable = Flag(source, "nullable");
    schema.preserve_unknown = Flag(source, "x-kubernetes-preserve-unknown-fields");
    if (Flag(source, "x-kubernetes-embedded-resource")) schema.embedded_resource = true;
    schema.atomic_map = source.FindString("x-kubernetes-map-type") == "atomic";
    const Value* fallback = source.Find("default");
    if (fallback != nullptr && !fallback->is_null()) schema.default_value = *fallback;
    FillScalars(source, keywords);
    FillRules(source, keywords);
    FillNested(source, depth, keywords);
    FillArray(source, depth, schema);
    FillObject(source, depth, schema, keywords);
  }

  static void FillScalars(const Value& source, SchemaKeywords& keywords) {
    keywords.minimum = Real(source, "minimum");
    keywords.maximum = Real(source, "maximum");
    keywords.multiple_of = Real(source, "multipleOf");
    keywords.exclusive_minimum = Flag(source, "exclusiveMinimum");
    keywords.exclusive_maximum = Flag(source, "exclusiveMaximum");
    keywords.min_length = Integer(source, "minLength");
    keywords.max_length = Integer(source, "maxLength");
    keywords.min_items = Integer(source, "minItems");
    keywords.max_items = Integer(source, "maxItems");
    keywords.min_properties = Integer(source, "minProperties");
    keywords.max_properties = Integer(source, "maxProperties");
    keywords.unique_items = Flag(source, "uniqueItems");
    if (const Value* values = source.Find("enum")) keywords.enum_values = values->items();
    const absl::string_view pattern = source.FindString("pattern");
    if (pattern.empty()) return;
    re2::RE2::Options options;
    options.set_log_errors(false);
    auto compiled =
        std::make_shared<const re2::RE2>(re2::StringPiece(pattern.data(), pattern.size()), options);
    if (!compiled->ok()) return;
    keywords.pattern_text = std::string(pattern);
    keywords.pattern = std::move(compiled);
  }

  static void FillRules(const Value& source, SchemaKeywords& keywords) {
    const Value* rules = source.Find("x-kubernetes-validations");
    if (rules == nullptr) return;
    for (const Value& item : rules->items()) {
      ValidationRule& rule = keywords.rules.emplace_back();
      rule.rule = std::string(item.FindString("rule"));
      rule.message = std::string(item.FindString("message"));
      rule.message_expression = std::string(item.FindString("messageExpression"));
      rule.reason = std::string(item.FindString("reason"));
      rule.field_path = std::string(item.FindString("fieldPath"));
      rule.optional_old_self = Flag(item, "optionalOldSelf");
    }
  }

  std::vector<const Schema*> Nodes(const Value& source, absl::string_view name, int depth) {
    std::vector<const Schema*> nodes;
    const Value* list = source.Find(name);
    if (list == nullptr) return nodes;
    for (const Value& item : list->items()) nodes.push_back(&Node(item, depth + 1));
    return nodes;
  }

  void FillNested(const Value& source, int depth, SchemaKeywords& keywords) {
    keywords.all_of = Nodes(source, "allOf", depth);
    keywords.any_of = Nodes(source, "anyOf", depth);
    keywords.one_of = Nodes(source, "oneOf", depth);
    const Value* negated = source.Find("not");
    if (negated != nullptr && negated->is_object())
      keywords.not_schema = &Node(*negated, depth + 1);
  }

  void FillArray(const Value& source, int depth, Schema& schema) {
    const Value* items = source.Find("items");
    if (items != nullptr && items->is_object()) schema.items = &Node(*items, depth + 1);
    schema.list_map_keys = Texts(source, "x-kubernetes-list-map-keys");
    const absl::string_view list_type = source.FindString("x-kubernetes-list-type");
    if (list_type == "set") schema.list_type = ListType::kSet;
    if (list_type == "map") schema.list_type = ListType::kMap;
  }

  void FillObject(const Value& source, int depth, Schema& schema, SchemaKeywords& keywords) {
    keywords.required = Texts(source, "required");
    if (const Value* properties = source.Find("properties")) {
      for (const Member& member : properties->members()) {
        if (schema.embedded_resource && member.key == "metadata") continue;
        build_.Add(schema, member.key, Node(member.value, depth + 1));
      }
    }
    if (schema.embedded_resource) AddResourceMembers(source, depth, schema);
    for (const std::string& name : keywords.required) {
      const auto found = schema.property_index.find(name);
      if (found != schema.property_index.end()) schema.properties[found->second].required = true;
    }
    const Value* additional = source.Find("additionalProperties");
    if (additional == nullptr) return;
    if (additional->is_object()) {
      schema.values = &Node(*additional, depth + 1);
    } else if (additional->is_bool() && additional->bool_value()) {
      Schema& anything = Node(Value::Object(), depth + 1);
      anything.nullable = true;
      schema.values = &anything;
    }
  }

  void AddResourceMembers(const Value& source, int depth, Schema& schema) {
    for (const absl::string_view name : {"apiVersion", "kind"}) {
      if (schema.Find(name) != nullptr) continue;
      Schema& text = Node(Value::Object(), depth + 1);
      text.type = SchemaType::kString;
      build_.Add(schema, name, text);
    }
    const Value* metadata = source.Find("properties", "metadata", "properties");
    if (metadata == nullptr || metadata->members().empty()) {
      if (plain_metadata_ == nullptr) plain_metadata_ = &NewObjectMetaSchema(arena_);
      build_.Add(schema, "metadata", *plain_metadata_);
      return;
    }
    // Rules about metadata.name and generateName apply beside what holds for all objects.
    Schema& with_rules = NewObjectMetaSchema(arena_);
    for (const Member& member : metadata->members()) {
      const auto found = with_rules.property_index.find(member.key);
      if (found == with_rules.property_index.end()) continue;
      Property& property = with_rules.properties[found->second];
      if (property.schema->type != SchemaType::kString) continue;
      property.schema = &Node(member.value, depth + 1);
    }
    build_.Add(schema, "metadata", with_rules);
  }

  SchemaArena& arena_;
  SchemaBuilder build_;
  const Schema* plain_metadata_ = nullptr;
};

}  // namespace

const Schema* CompileOpenApi(const Value& open_api_v3_schema, SchemaArena& arena) {
  return &Compiler(arena).Root(open_api_v3_schema);
}

const Schema* CompileOpenApiPart(const Value& schema, SchemaArena& arena) {
  return &Compiler(arena).Node(schema, 0);
}

bool AnySchema(const Value& schema, absl::FunctionRef<bool(const Value& schema)> predicate) {
  if (!schema.is_object()) return false;
  if (predicate(schema)) return true;
  for (const absl::string_view name : {"items", "additionalProperties", "not"}) {
    const Value* child = schema.Find(name);
    if (child != nullptr && AnySchema(*child, predicate)) return true;
  }
  for (const absl::string_view name : {"allOf", "anyOf", "oneOf"}) {
    const Value* list = schema.Find(name);
    if (list == nullptr) continue;
    for (const Value& child : list->items()) {
      if (AnySchema(child, predicate)) return true;
    }
  }
  const Value* properties = schema.Find("properties");
  if (properties == nullptr) return false;
  for (const Member& member : properties->members()) {
    if (AnySchema(member.value, predicate)) return true;
  }
  return false;
}

bool HasValidationRules(const Value& open_api_v3_schema) {
  return AnySchema(open_api_v3_schema, [](const Value& schema) {
    const Value* rules = schema.Find("x-kubernetes-validations");
    return rules != nullptr && !rules->items().empty();
  });
}

}  // namespace meltemi::apiserver
