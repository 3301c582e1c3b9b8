#include "orchestrator/apiserver/schema/check_structural.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <re2/re2.h>

#include "absl/strings/str_cat.h"

namespace meltemi::apiserver {
namespace {

using json::Member;
using json::Value;
using kube::FieldErrors;
using kube::FieldPath;

enum class Level : uint8_t { kRoot, kItem, kField };

bool Given(const Value& schema, absl::string_view name) {
  const Value* value = schema.Find(name);
  return value != nullptr && !value->is_null();
}

bool Flag(const Value& schema, absl::string_view name) {
  const Value* value = schema.Find(name);
  return value != nullptr && value->is_bool() && value->bool_value();
}

const std::vector<Value>& Items(const Value& schema, absl::string_view name) {
  static const std::vector<Value>* const kNone = new std::vector<Value>();
  const Value* value = schema.Find(name);
  return value == nullptr ? *kNone : value->items();
}

// anyOf: [{type: integer}, {type: string}], the way to describe x-kubernetes-int-or-string.
bool IsIntOrStringAnyOf(const Value& schema) {
  const std::vector<Value>& any_of = Items(schema, "anyOf");
  if (any_of.size() != 2) return false;
  return any_of[0].members().size() == 1 && any_of[0].FindString("type") == "integer" &&
         any_of[1].members().size() == 1 && any_of[1].FindString("type") == "string";
}

bool IsIntOrStringAllOf(const Value& schema) {
  const std::vector<Value>& all_of = Items(schema, "allOf");
  return !all_of.empty() && IsIntOrStringAnyOf(all_of[0]);
}

class Structural {
 public:
  FieldErrors Check(const Value& schema, const FieldPath& path) {
    Invariants(schema, Level::kRoot, path);
    Complete(schema, &schema, path, path);
    std::sort(errors_.begin(), errors_.end(),
              [](const kube::FieldError& a, const kube::FieldError& b) {
                return a.ToString() < b.ToString();
              });
    return std::move(errors_);
  }

 private:
  void Require(const FieldPath& path, absl::string_view why) {
    errors_.push_back(kube::Required(path, why));
  }
  void Forbid(const FieldPath& path, absl::string_view why) {
    errors_.push_back(kube::ForbiddenField(path, why));
  }
  void Invalid(const FieldPath& path, std::string printed, absl::string_view why) {
    errors_.push_back(
        {kube::FieldError::Type::kInvalid, path.text(), std::move(printed), std::string(why)});
  }

  void Invariants(const Value& schema, Level level, const FieldPath& path) {
    const absl::string_view type = schema.FindString("type");
    const Value* items = schema.Find("items");
    if (type == "array" && !Given(schema, "items")) {
      Require(path.Child("items"), "must be specified");
    }
    if (items != nullptr && items->is_object()) {
      Invariants(*items, Level::kItem, path.Child("items"));
    }
    const Value* properties = schema.Find("properties");
    if (properties != nullptr) {
      for (const Member& member : properties->members()) {
        Invariants(member.value, Level::kField, path.Child("properties").Key(member.key));
      }
    }
    const Value* additional = schema.Find("additionalProperties");
    if (additional != nullptr && !additional->is_null()) {
      const FieldPath additional_path = path.Child("additionalProperties");
      if (level == Level::kRoot) Forbid(additional_path, "must not be used at the root");
      if (additional->is_object()) Invariants(*additional, Level::kField, additional_path);
    }
    Extensions(schema, path);
    Values(schema, IsIntOrStringAnyOf(schema), IsIntOrStringAllOf(schema), path);
    Types(schema, level, path);
    Resource(schema, level, path);
  }

  void Extensions(const Value& schema, const FieldPath& path) {
    if (!Flag(schema, "x-kubernetes-int-or-string")) return;
    for (const absl::string_view name :
         {"x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource"}) {
      if (Flag(schema, name)) {
        Invalid(path.Child(name), "true", "must be false if x-kubernetes-int-or-string is true");
      }
    }
  }

  void Types(const Value& schema, Level level, const FieldPath& path) {
    const absl::string_view type = schema.FindString("type");
    const bool embedded = Flag(schema, "x-kubernetes-embedded-resource");
    if (embedded && type != "object") {
      constexpr absl::string_view kWhy = "must be object if x-kubernetes-embedded-resource is true";
      if (type.empty()) {
        Require(path.Child("type"), kWhy);
      } else {
        Invalid(path.Child("type"), kube::GoQuote(type), kWhy);
      }
    } else if (type.empty() && !Flag(schema, "x-kubernetes-int-or-string") &&
               !Flag(schema, "x-kubernetes-preserve-unknown-fields")) {
      Require(path.Child("type"), level == Level::kRoot ? "must not be empty at the root"
                                  : level == Level::kItem
                                      ? "must not be empty for specified array items"
                                      : "must not be empty for specified object "
                                        "fields");
    }
    if (embedded && Given(schema, "additionalProperties")) {
      Forbid(path.Child("additionalProperties"),
             "must not be used if x-kubernetes-embedded-resource is set");
    }
    if (level == Level::kRoot && !type.empty() && type != "object") {
      Invalid(path.Child("type"), kube::GoQuote(type), "must be object at the root");
    }
  }

  // apiVersion, kind and metadata of the root and of embedded resources.
  void Resource(const Value& schema, Level level, const FieldPath& path) {
    const bool embedded = Flag(schema, "x-kubernetes-embedded-resource");
    const bool check = level == Level::kRoot || embedded;
    const FieldPath properties_path = path.Child("properties");
    if (check) {
      for (const absl::string_view name : {"kind", "apiVersion"}) {
        const Value* property = schema.Find("properties", name);
        if (property != nullptr && property->FindString("type") != "string") {
          Invalid(properties_path.Key(name).Child("type"),
                  kube::GoQuote(property->FindString("type")), "must be string");
        }
      }
    }
    if (const Value* metadata = schema.Find("properties", "metadata")) {
      Metadata(*metadata, check, level, properties_path.Key("metadata"));
    }
    const Value* properties = schema.Find("properties");
    if (embedded && !Flag(schema, "x-kubernetes-preserve-unknown-fields") &&
        (properties == nullptr || properties->members().empty())) {
      Require(properties_path,
              "must not be empty if x-kubernetes-embedded-resource is true without "
              "x-kubernetes-preserve-unknown-fields");
    }
  }

  void Metadata(const Value& metadata, bool check, Level level, const FieldPath& path) {
    const absl::string_view type = metadata.FindString("type");
    if (check && type != "object") {
      Invalid(path.Child("type"), kube::GoQuote(type), "must be object");
    }
    if (level != Level::kRoot) return;
    bool fits = true;
    for (const Member& member : metadata.members()) {
      if (member.key == "type" || member.key == "default" || member.value.is_null()) continue;
      if (member.key == "properties") {
        for (const Member& property : member.value.members()) {
          fits &= property.key == "name" || property.key == "generateName";
        }
      } else {
        fits = false;
      }
    }
    if (!fits) {
      Forbid(path,
             "must not specify anything other than name and generateName, but metadata is "
             "implicitly specified");
    }
  }

  void Values(const Value& schema, bool skip_any_of, bool skip_first_all_of,
              const FieldPath& path) {
    if (!skip_any_of) {
      const std::vector<Value>& any_of = Items(schema, "anyOf");
      for (size_t i = 0; i < any_of.size(); ++i) {
        Nested(any_of[i], false, path.Child("anyOf").Index(i));
      }
    }
    const std::vector<Value>& all_of = Items(schema, "allOf");
    for (size_t i = 0; i < all_of.size(); ++i) {
      Nested(all_of[i], skip_first_all_of && i == 0, path.Child("allOf").Index(i));
    }
    const std::vector<Value>& one_of = Items(schema, "oneOf");
    for (size_t i = 0; i < one_of.size(); ++i) {
      Nested(one_of[i], false, path.Child("oneOf").Index(i));
    }
    if (const Value* negated = schema.Find("not")) {
      if (negated->is_object()) Nested(*negated, false, path.Child("not"));
    }
    Pattern(schema, path);
  }

  void Pattern(const Value& schema, const FieldPath& path) {
    const absl::string_view pattern = schema.FindString("pattern");
    if (pattern.empty()) return;
    re2::RE2::Options options;
    options.set_log_errors(false);
    const re2::RE2 compiled(re2::StringPiece(pattern.data(), pattern.size()), options);
    if (compiled.ok()) return;
    Invalid(path.Child("pattern"), kube::GoQuote(pattern),
            absl::StrCat("must be a valid regular expression, but isn't: error parsing regexp: ",
                         compiled.error()));
  }

  // A schema that may only narrow: no types, no defaults, nothing that decides what is kept.
  void Nested(const Value& schema, bool skip_any_of, const FieldPath& path) {
    Values(schema, skip_any_of, false, path);
    const Value* items = schema.Find("items");
    if (items != nullptr && items->is_object()) Nested(*items, false, path.Child("items"));
    const Value* properties = schema.Find("properties");
    if (properties != nullptr) {
      for (const Member& member : properties->members()) {
        Nested(member.value, false, path.Child("properties").Key(member.key));
      }
    }
    struct Rule {
      absl::string_view name, why;
    };
    static constexpr Rule kFilled[] = {{"type", "must be empty to be structural"},
                                       {"title", "must be empty to be structural"},
                                       {"description", "must be empty to be structural"}};
    for (const Rule& rule : kFilled) {
      if (!schema.FindString(rule.name).empty()) Forbid(path.Child(rule.name), rule.why);
    }
    static constexpr Rule kGiven[] = {
        {"default", "must be undefined to be structural"},
        {"x-kubernetes-list-type", "must be undefined to be structural"},
        {"x-kubernetes-map-type", "must be undefined to be structural"}};
    for (const Rule& rule : kGiven) {
      if (Given(schema, rule.name)) Forbid(path.Child(rule.name), rule.why);
    }
    const Value* additional = schema.Find("additionalProperties");
    if (additional != nullptr &&
        (additional->is_object() || (additional->is_bool() && additional->bool_value()))) {
      Forbid(path.Child("additionalProperties"), "must be undefined to be structural");
    }
    for (const absl::string_view name :
         {"nullable", "x-kubernetes-preserve-unknown-fields", "x-kubernetes-embedded-resource",
          "x-kubernetes-int-or-string"}) {
      if (Flag(schema, name)) Forbid(path.Child(name), "must be false to be structural");
    }
    for (const absl::string_view name :
         {"x-kubernetes-list-map-keys", "x-kubernetes-validations"}) {
      if (!Items(schema, name).empty()) {
        Forbid(path.Child(name), "must be empty to be structural");
      }
    }
    if (schema.Find("properties", "metadata") != nullptr) {
      Forbid(path.Child("properties").Key("metadata"), "must not be specified in a nested context");
    }
  }

  // Whatever is narrowed must be described outside: `schema` narrows `described`, or null when
  // there is no such field.
  void Complete(const Value& schema, const Value* described, const FieldPath& described_path,
                const FieldPath& path) {
    if (const Value* negated = schema.Find("not")) {
      if (negated->is_object()) {
        CompleteNested(*negated, described, described_path, path.Child("not"));
      }
    }
    for (const absl::string_view name : {"allOf", "anyOf", "oneOf"}) {
      const std::vector<Value>& list = Items(schema, name);
      for (size_t i = 0; i < list.size(); ++i) {
        CompleteNested(list[i], described, described_path, path.Child(name).Index(i));
      }
    }
  }

  void CompleteNested(const Value& schema, const Value* described, const FieldPath& described_path,
                      const FieldPath& path) {
    if (described == nullptr) {
      Require(described_path, absl::StrCat("because it is defined in ", path.text()));
      return;
    }
    Complete(schema, described, described_path, path);
    const Value* items = schema.Find("items");
    if (items != nullptr && items->is_object()) {
      const Value* outer = described->Find("items");
      CompleteNested(*items, outer != nullptr && outer->is_object() ? outer : nullptr,
                     described_path.Child("items"), path.Child("items"));
    }
    const Value* properties = schema.Find("properties");
    if (properties == nullptr) return;
    for (const Member& member : properties->members()) {
      CompleteNested(member.value, described->Find("properties", member.key),
                     described_path.Child("properties").Key(member.key),
                     path.Child("properties").Key(member.key));
    }
  }

  FieldErrors errors_;
};

}  // namespace

FieldErrors CheckStructural(const Value& schema, const FieldPath& path) {
  return Structural().Check(schema, path);
}

}  // namespace meltemi::apiserver
