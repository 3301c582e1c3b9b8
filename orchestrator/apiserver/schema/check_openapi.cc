#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/schema/cel/program.h"
#include "orchestrator/apiserver/schema/check_structural.h"
#include "orchestrator/apiserver/schema/from_openapi.h"
#include "orchestrator/apiserver/schema/values.h"
#include "orchestrator/apiserver/schema/walk.h"

namespace meltemi::apiserver {
namespace {

using json::Member;
using json::Value;
using kube::FieldErrors;
using kube::FieldPath;

bool Given(const Value& schema, absl::string_view name) {
  const Value* value = schema.Find(name);
  return value != nullptr && !value->is_null();
}

bool Flag(const Value& schema, absl::string_view name) {
  const Value* value = schema.Find(name);
  return value != nullptr && value->is_bool() && value->bool_value();
}

bool Filled(const Value& schema, absl::string_view name) {
  const Value* value = schema.Find(name);
  return value != nullptr && (!value->items().empty() || !value->members().empty() ||
                              (value->is_string() && !value->text().empty()));
}

std::vector<std::string> Texts(const Value& schema, absl::string_view name) {
  std::vector<std::string> texts;
  const Value* value = schema.Find(name);
  if (value == nullptr) return texts;
  for (const Value& item : value->items()) texts.push_back(item.text());
  return texts;
}

std::string GoStrings(const std::vector<std::string>& texts) {
  return absl::StrCat("[]string{",
                      absl::StrJoin(texts, ", ",
                                    [](std::string* out, const std::string& text) {
                                      absl::StrAppend(out, kube::GoQuote(text));
                                    }),
                      "}");
}

bool IsResourceMember(absl::string_view name) {
  return name == "metadata" || name == "kind" || name == "apiVersion";
}

// What holds on the way down.
struct Context {
  bool defaults_allowed = true;
  std::string no_defaults_why;
  bool inside_metadata = false;
};

// The rules for each schema by itself, and for lists.
class Rules {
 public:
  explicit Rules(FieldErrors& errors) : errors_(errors) {}

  void Walk(const Value& schema, const FieldPath& path, const Context& context, bool is_root) {
    if (!schema.is_object()) return;
    Keywords(schema, path, context);
    if (Flag(schema, "uniqueItems")) {
      Forbid(path, "uniqueItems",
             "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
    }
    AdditionalProperties(schema, path, context);
    Properties(schema, path, context, is_root);
    if (const Value* negated = schema.Find("not"))
      Walk(*negated, path.Child("not"), context, false);
    for (const absl::string_view name : {"allOf", "oneOf", "anyOf"}) {
      const Value* list = schema.Find(name);
      if (list == nullptr) continue;
      for (size_t i = 0; i < list->items().size(); ++i) {
        Walk(list->items()[i], path.Child(name).Index(i), context, false);
      }
    }
    if (const Value* items = schema.Find("items"))
      Walk(*items, path.Child("items"), context, false);
    const Value* preserve = schema.Find("x-kubernetes-preserve-unknown-fields");
    if (preserve != nullptr && preserve->is_bool() && !preserve->bool_value()) {
      Invalid(path, "x-kubernetes-preserve-unknown-fields", "false", "must be true or undefined");
    }
    MapType(schema, path);
    ListTypes(schema, path);
    ValidationRules(schema, path);
  }

 private:
  void Forbid(const FieldPath& path, absl::string_view name, absl::string_view why) {
    errors_.push_back(kube::ForbiddenField(path.Child(name), why));
  }
  void Require(const FieldPath& path, absl::string_view name, absl::string_view why) {
    errors_.push_back(kube::Required(path.Child(name), why));
  }
  void Invalid(const FieldPath& path, absl::string_view name, std::string printed,
               absl::string_view why) {
    errors_.push_back({kube::FieldError::Type::kInvalid, path.Child(name).text(),
                       std::move(printed), std::string(why)});
  }

  void Keywords(const Value& schema, const FieldPath& path, const Context& context) {
    const absl::string_view type = schema.FindString("type");
    static constexpr absl::string_view kTypes[] = {"array",  "boolean", "integer",
                                                   "number", "object",  "string"};
    if (!type.empty() &&
        std::find(std::begin(kTypes), std::end(kTypes), type) == std::end(kTypes)) {
      errors_.push_back(
          kube::NotSupported(path.Child("type"), *schema.Find("type"),
                             std::vector<std::string>(std::begin(kTypes), std::end(kTypes))));
    }
    if (Given(schema, "default") && !context.defaults_allowed) {
      Forbid(path, "default",
             absl::StrCat("must not be set", context.no_defaults_why.empty() ? "" : " ",
                          context.no_defaults_why));
    }
    for (const absl::string_view name :
         {"id", "additionalItems", "patternProperties", "definitions", "dependencies", "$ref"}) {
      const bool by_content = name == "id" || name == "patternProperties" || name == "definitions";
      if (by_content ? Filled(schema, name) : Given(schema, name)) {
        Forbid(path, name, absl::StrCat(name, " is not supported"));
      }
    }
    if (type == "null") {
      Forbid(path, "type", "type cannot be set to null, use nullable as an alternative");
    }
    const Value* items = schema.Find("items");
    if (items != nullptr && !items->items().empty()) {
      Forbid(path, "items", "items must be a schema object and not an array");
    }
    if (context.inside_metadata && Flag(schema, "x-kubernetes-embedded-resource")) {
      Forbid(path, "x-kubernetes-embedded-resource", "must not be used inside of resource meta");
    }
  }

  void AdditionalProperties(const Value& schema, const FieldPath& path, const Context& context) {
    const Value* additional = schema.Find("additionalProperties");
    if (additional == nullptr || additional->is_null()) return;
    const bool anything = additional->is_bool() && additional->bool_value();
    if (Filled(schema, "properties") && !anything) {
      Forbid(path, "additionalProperties",
             "additionalProperties and properties are mutual exclusive");
    }
    Context inner = context;
    if (context.inside_metadata) {
      inner.defaults_allowed = false;
      inner.no_defaults_why = "inside additionalProperties applying to object metadata";
    }
    Walk(*additional, path.Child("additionalProperties"), inner, false);
  }

  void Properties(const Value& schema, const FieldPath& path, const Context& context,
                  bool is_root) {
    const Value* properties = schema.Find("properties");
    if (properties == nullptr) return;
    const bool is_resource = is_root || Flag(schema, "x-kubernetes-embedded-resource");
    for (const Member& member : properties->members()) {
      Context inner = context;
      if (is_resource && IsResourceMember(member.key)) {
        inner.inside_metadata = true;
        if (is_root) {
          inner.defaults_allowed = false;
          inner.no_defaults_why = absl::StrCat("in top-level ", member.key);
        }
      }
      Walk(member.value, path.Child("properties").Key(member.key), inner, false);
    }
  }

  // `type` must be `wanted` because `keyword` is there.
  void WantType(const Value& schema, const FieldPath& path, absl::string_view wanted,
                absl::string_view keyword) {
    const absl::string_view type = schema.FindString("type");
    if (type == wanted) return;
    const std::string why = absl::StrCat("must be ", wanted, " if ", keyword, " is specified");
    if (type.empty()) {
      Require(path, "type", why);
    } else {
      Invalid(path, "type", kube::GoQuote(type), why);
    }
  }

  void MapType(const Value& schema, const FieldPath& path) {
    constexpr absl::string_view kName = "x-kubernetes-map-type";
    if (!Given(schema, kName)) return;
    WantType(schema, path, "object", kName);
    const absl::string_view map_type = schema.FindString(kName);
    if (map_type != "atomic" && map_type != "granular") {
      errors_.push_back(
          kube::NotSupported(path.Child(kName), *schema.Find(kName), {"atomic", "granular"}));
    }
  }

  void ListTypes(const Value& schema, const FieldPath& path) {
    constexpr absl::string_view kType = "x-kubernetes-list-type";
    const bool given = Given(schema, kType);
    const absl::string_view list_type = schema.FindString(kType);
    if (given) {
      WantType(schema, path, "array", kType);
      const Value* items = schema.Find("items");
      if (schema.FindString("type") == "array" && list_type == "set" && items != nullptr) {
        AtomicItems(*items, path.Child("items"));
      }
      if (list_type != "atomic" && list_type != "set" && list_type != "map") {
        errors_.push_back(
            kube::NotSupported(path.Child(kType), *schema.Find(kType), {"atomic", "set", "map"}));
      }
    }
    if (Filled(schema, "x-kubernetes-list-map-keys") && list_type != "map") {
      const absl::string_view why = "must be map if x-kubernetes-list-map-keys is non-empty";
      if (given) {
        Invalid(path, kType, kube::GoQuote(list_type), why);
      } else {
        Require(path, kType, why);
      }
    }
    if (list_type == "map") KeyedList(schema, path);
    if (list_type == "map" || list_type == "set") NotNullable(schema, path, list_type);
  }

  void AtomicItems(const Value& items, const FieldPath& path) {
    constexpr absl::string_view kWhy =
        "must be atomic as item of a list with x-kubernetes-list-type=set";
    const absl::string_view type = items.FindString("type");
    const absl::string_view list_type = items.FindString("x-kubernetes-list-type");
    if (type == "array" && !list_type.empty() && list_type != "atomic") {
      Invalid(path, "x-kubernetes-list-type", kube::GoQuote(list_type), kWhy);
    }
    if (type == "object" && items.FindString("x-kubernetes-map-type") != "atomic") {
      Invalid(path, "x-kubernetes-map-type",
              list_type.empty() ? "\"null\"" : kube::GoQuote(list_type), kWhy);
    }
  }

  void KeyedList(const Value& schema, const FieldPath& path) {
    constexpr absl::string_view kKeys = "x-kubernetes-list-map-keys";
    const std::vector<std::string> keys = Texts(schema, kKeys);
    if (keys.empty()) {
      Require(path, kKeys, "must not be empty if x-kubernetes-list-type is map");
    }
    const Value* items = schema.Find("items");
    if (items == nullptr || items->is_null()) {
      Require(path, "items", "must have a schema if x-kubernetes-list-type is map");
      return;
    }
    const absl::string_view type = items->FindString("type");
    if (type != "object") {
      Invalid(path.Child("items"), "type", kube::GoQuote(type),
              "must be object if parent array's x-kubernetes-list-type is map");
      return;
    }
    for (size_t i = 0; i < keys.size(); ++i) {
      const Value* property = items->Find("properties", keys[i]);
      if (property == nullptr) {
        Invalid(path, kKeys, GoStrings(keys), "entries must all be names of item properties");
      } else if (const absl::string_view key_type = property->FindString("type");
                 key_type == "array" || key_type == "object") {
        Invalid(path.Child("items").Child("properties").Key(keys[i]), "type", kube::GoQuote(type),
                "must be a scalar type if parent array's x-kubernetes-list-type is map");
      }
      if (std::find(keys.begin(), keys.begin() + i, keys[i]) != keys.begin() + i) {
        Invalid(path, kKeys, GoStrings(keys), "must not contain duplicate entries");
      }
    }
  }

  void NotNullable(const Value& schema, const FieldPath& path, absl::string_view list_type) {
    const Value* items = schema.Find("items");
    if (items == nullptr || !items->is_object()) return;
    const FieldPath items_path = path.Child("items");
    if (Flag(*items, "nullable")) {
      Forbid(items_path, "nullable",
             absl::StrCat("cannot be nullable when x-kubernetes-list-type is ", list_type));
    }
    if (list_type != "map") return;
    const std::vector<std::string> required = Texts(*items, "required");
    for (const std::string& key : Texts(schema, "x-kubernetes-list-map-keys")) {
      const Value* property = items->Find("properties", key);
      if (property == nullptr) continue;
      const FieldPath property_path = items_path.Child("properties").Key(key);
      if (std::find(required.begin(), required.end(), key) == required.end() &&
          !Given(*property, "default")) {
        Require(property_path, "default",
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a "
                "required property");
      }
      if (Flag(*property, "nullable")) {
        Forbid(property_path, "nullable",
               "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
      }
    }
  }

  static bool Blank(absl::string_view text) { return absl::StripAsciiWhitespace(text).empty(); }
  static bool HasLineBreak(absl::string_view text) {
    return text.find_first_of("\n\r") != absl::string_view::npos;
  }

  void ValidationRules(const Value& schema, const FieldPath& path) {
    const Value* rules = schema.Find("x-kubernetes-validations");
    if (rules == nullptr) return;
    for (size_t i = 0; i < rules->items().size(); ++i) {
      ValidationRule(rules->items()[i], path.Child("x-kubernetes-validations").Index(i));
    }
  }

  void Compile(const Value& rule, absl::string_view key, const FieldPath& path) {
    const absl::StatusOr<cel::Program> program = cel::Program::Compile(rule.FindString(key));
    // What CEL has and this server lacks is no mistake of the author's.
    if (program.ok() || absl::IsUnimplemented(program.status())) return;
    Invalid(path, key, kube::GoQuote(rule.FindString(key)),
            absl::StrCat("compilation failed: ", program.status().message()));
  }

  void ValidationRule(const Value& rule, const FieldPath& path) {
    const absl::string_view text = rule.FindString("rule"), message = rule.FindString("message"),
                            expression = rule.FindString("messageExpression"),
                            field_path = rule.FindString("fieldPath");
    if (Blank(text)) {
      Require(path, "rule", "rule is not specified");
    } else if (!message.empty() && Blank(message)) {
      Invalid(path, "message", kube::GoQuote(message), "message must be non-empty if specified");
    } else if (HasLineBreak(absl::StripAsciiWhitespace(message))) {
      Invalid(path, "message", kube::GoQuote(message), "message must not contain line breaks");
    } else if (HasLineBreak(absl::StripAsciiWhitespace(text)) && Blank(message)) {
      Require(path, "message", "message must be specified if rule contains line breaks");
    }
    if (!Blank(text)) Compile(rule, "rule", path);
    if (!Blank(expression)) Compile(rule, "messageExpression", path);
    if (!expression.empty() && Blank(expression)) {
      Require(path, "messageExpression", "messageExpression must be non-empty if specified");
    }
    const Value* reason = rule.Find("reason");
    static constexpr absl::string_view kReasons[] = {"FieldValueDuplicate", "FieldValueForbidden",
                                                     "FieldValueInvalid", "FieldValueRequired"};
    if (reason != nullptr && !reason->is_null() &&
        std::find(std::begin(kReasons), std::end(kReasons), reason->text()) == std::end(kReasons)) {
      errors_.push_back(
          kube::NotSupported(path.Child("reason"), *reason,
                             std::vector<std::string>(std::begin(kReasons), std::end(kReasons))));
    }
    if (!field_path.empty() && Blank(field_path)) {
      Invalid(path, "fieldPath", kube::GoQuote(field_path),
              "fieldPath must be non-empty if specified");
    }
    if (HasLineBreak(field_path)) {
      Invalid(path, "fieldPath", kube::GoQuote(field_path),
              "fieldPath must not contain line breaks");
    }
  }

  FieldErrors& errors_;
};

// Defaults must fit their own schemas.
class Defaults {
 public:
  explicit Defaults(FieldErrors& errors) : errors_(errors) {}

  void Walk(const Value& schema, const FieldPath& path) {
    if (!schema.is_object()) return;
    if (Given(schema, "default")) One(schema, path.Child("default"));
    if (const Value* items = schema.Find("items")) Walk(*items, path.Child("items"));
    const Value* properties = schema.Find("properties");
    if (properties == nullptr) return;
    for (const Member& member : properties->members()) {
      Walk(member.value, path.Child("properties").Key(member.key));
    }
  }

 private:
  void One(const Value& schema, const FieldPath& path) {
    SchemaArena arena;
    const Schema* compiled = CompileOpenApiPart(schema, arena);
    const Value& fallback = *schema.Find("default");
    Value pruned = fallback;
    if (!Prune(*compiled, pruned).empty()) {
      errors_.push_back({kube::FieldError::Type::kInvalid, path.text(), GoSyntax(fallback),
                         "must not have unknown fields"});
    }
    const FieldErrors found = Validate(*compiled, fallback, path);
    errors_.insert(errors_.end(), found.begin(), found.end());
  }

  FieldErrors& errors_;
};

// With a status subresource, `properties.status` is used by itself: what stands at the root would
// be lost.
void CheckRoot(const Value& schema, const OpenApiCheck& check, const FieldPath& path,
               FieldErrors& errors) {
  static constexpr absl::string_view kAllowed[] = {"description",
                                                   "type",
                                                   "format",
                                                   "title",
                                                   "maximum",
                                                   "exclusiveMaximum",
                                                   "minimum",
                                                   "exclusiveMinimum",
                                                   "maxLength",
                                                   "minLength",
                                                   "pattern",
                                                   "maxItems",
                                                   "minItems",
                                                   "uniqueItems",
                                                   "multipleOf",
                                                   "required",
                                                   "items",
                                                   "properties",
                                                   "externalDocs",
                                                   "example",
                                                   "x-kubernetes-preserve-unknown-fields",
                                                   "x-kubernetes-validations"};
  if (check.status_subresource) {
    const absl::string_view type = schema.FindString("type");
    if (!type.empty() && type != "object") {
      errors.push_back(kube::InvalidField(
          FieldPath(absl::StrCat(path.text(), ".type")), type,
          "only \"object\" is allowed as the type at the root of the schema if the status "
          "subresource is enabled"));
    }
    for (const Member& member : schema.members()) {
      if (std::find(std::begin(kAllowed), std::end(kAllowed), member.key) != std::end(kAllowed)) {
        continue;
      }
      if (member.value.is_null()) continue;
      errors.push_back(kube::InvalidField(
          path, schema,
          "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum "
          "MaxLength MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items "
          "Properties ExternalDocs Example XPreserveUnknownFields XValidations] fields are allowed "
          "at the root of the schema if the status subresource is enabled"));
      break;
    }
  }
  if (Flag(schema, "nullable")) {
    errors.push_back(kube::ForbiddenField(FieldPath(absl::StrCat(path.text(), ".nullable")),
                                          "nullable cannot be true at the root"));
  }
}

}  // namespace

FieldErrors CheckOpenApi(const Value& schema, const OpenApiCheck& check, const FieldPath& path) {
  FieldErrors errors;
  CheckRoot(schema, check, path, errors);
  const FieldErrors structural = CheckStructural(schema, path);
  errors.insert(errors.end(), structural.begin(), structural.end());
  if (structural.empty()) Defaults(errors).Walk(schema, path);
  Rules(errors).Walk(schema, path, Context(), true);
  return errors;
}

}  // namespace meltemi::apiserver
