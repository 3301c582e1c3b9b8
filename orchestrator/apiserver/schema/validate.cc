#include <algorithm>
#include <cmath>
#include <utility>

#include <re2/re2.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/json/utf8.h"
#include "base/json/write.h"
#include "orchestrator/apiserver/schema/formats.h"
#include "orchestrator/apiserver/schema/list_types.h"
#include "orchestrator/apiserver/schema/values.h"
#include "orchestrator/apiserver/schema/walk.h"

namespace meltemi::apiserver {
namespace {

using json::Member;
using json::Value;
using kube::FieldError;

// What one schema has to say about one value. Of several alternatives, the errors of the one with
// the most matches are shown.
struct Findings {
  kube::FieldErrors errors;
  int matches = 0;

  bool ok() const { return errors.empty(); }
  void Merge(Findings other) {
    matches += other.matches;
    std::move(other.errors.begin(), other.errors.end(), std::back_inserter(errors));
  }
};

absl::string_view TypeName(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kNull:
      return "null";
    case Value::Kind::kBool:
      return "boolean";
    case Value::Kind::kNumber:
      return IsIntLiteral(value) ? "integer" : "number";
    case Value::Kind::kString:
      return "string";
    case Value::Kind::kArray:
      return "array";
    case Value::Kind::kObject:
      break;
  }
  return "object";
}

absl::string_view SchemaTypeName(SchemaType type) {
  switch (type) {
    case SchemaType::kAny:
      return "";
    case SchemaType::kObject:
      return "object";
    case SchemaType::kArray:
      return "array";
    case SchemaType::kString:
      return "string";
    case SchemaType::kInteger:
      return "integer";
    case SchemaType::kNumber:
      return "number";
    case SchemaType::kBoolean:
      return "boolean";
    case SchemaType::kIntOrString:
      break;
  }
  return "integer,string";
}

bool HasType(SchemaType type, const Value& value) {
  switch (type) {
    case SchemaType::kAny:
      return true;
    case SchemaType::kObject:
      return value.is_object();
    case SchemaType::kArray:
      return value.is_array();
    case SchemaType::kString:
      return value.is_string();
    case SchemaType::kInteger:
      return value.is_number() && value.AsInt64().has_value();
    case SchemaType::kNumber:
      return value.is_number();
    case SchemaType::kBoolean:
      return value.is_bool();
    case SchemaType::kIntOrString:
      break;
  }
  return value.is_string() || (value.is_number() && value.AsInt64().has_value());
}

std::string Printed(const Value& value) {
  if (value.is_string()) return kube::GoQuote(value.text());
  if (value.is_null()) return "\"null\"";
  if (value.is_object() || value.is_array()) return GoSyntax(value);
  if (value.is_number() && !IsIntLiteral(value)) return GoNumber(value.AsDouble().value_or(0));
  return json::ToString(value);
}

int64_t RuneCount(absl::string_view text) {
  int64_t count = 0;
  while (!text.empty()) {
    text.remove_prefix(std::max<size_t>(1, json::Utf8SequenceLength(text)));
    ++count;
  }
  return count;
}

// A bound as it is printed beside the value: integers are compared with integers.
std::string Bound(const Value& value, double bound) {
  return IsIntLiteral(value) && std::fabs(bound) < 9e18 ? absl::StrCat(static_cast<int64_t>(bound))
                                                        : GoNumber(bound);
}

bool IsMultiple(const Value& value, double factor) {
  if (factor <= 0) return true;
  if (IsIntLiteral(value) && std::trunc(factor) == factor && factor < 9e18) {
    return *value.AsInt64() % static_cast<int64_t>(factor) == 0;
  }
  const double number = value.AsDouble().value_or(0);
  const double quotient = factor < 1 ? 1 / factor * number : number / factor;
  const double difference = std::fabs(quotient - std::round(quotient));
  return difference <= 1e-9 * std::max(1.0, std::fabs(quotient));
}

class Validator {
 public:
  // prefix: of the fields in errors; "" for whole objects.
  explicit Validator(const std::string& prefix) : prefix_(prefix) {}

  // old: what was at this place before, if that is known.
  Findings Node(const Schema& schema, const Value& value, const Value* old,
                const std::string& name) const {
    Findings found;
    if (old != nullptr && SameTree(value, *old)) return found;
    if (schema.keywords == nullptr) {
      BuiltIn(schema, value, name, found);
      return found;
    }
    const SchemaKeywords& keywords = *schema.keywords;
    Type(schema, value, name, found);
    if (value.is_null()) {
      Enum(keywords, value, name, found);
      return found;
    }
    Compositions(keywords, value, name, found);
    if (value.is_string()) String(schema, keywords, value, name, found);
    if (value.is_number()) Number(keywords, value, name, found);
    if (value.is_array()) Array(schema, keywords, value, old, name, found);
    Enum(keywords, value, name, found);
    if (value.is_object()) Object(schema, keywords, value, old, name, found);
    ++found.matches;
    return found;
  }

 private:
  std::string Field(absl::string_view name) const {
    if (!name.empty() && name[0] == '.') name.remove_prefix(1);
    if (prefix_.empty()) return name.empty() ? "<nil>" : std::string(name);
    return name.empty() ? prefix_ : absl::StrCat(prefix_, ".", name);
  }
  void Invalid(const std::string& name, std::string bad_value, absl::string_view what,
               Findings& found) const {
    found.errors.push_back({FieldError::Type::kInvalid, Field(name), std::move(bad_value),
                            absl::StrCat(name, " in body ", what)});
  }

  // metadata: its types were checked by CheckTypes; rules about the name are custom again.
  void BuiltIn(const Schema& schema, const Value& value, const std::string& name,
               Findings& found) const {
    if (!value.is_object()) return;
    for (const Property& property : schema.properties) {
      if (property.schema->keywords == nullptr) continue;
      if (const Value* member = value.Find(property.name)) {
        found.Merge(
            Node(*property.schema, *member, nullptr, absl::StrCat(name, ".", property.name)));
      }
    }
  }

  void Type(const Schema& schema, const Value& value, const std::string& name,
            Findings& found) const {
    const bool fits = value.is_null() ? schema.type == SchemaType::kAny || schema.nullable
                                      : HasType(schema.type, value);
    if (fits) {
      found.matches += 2;
      return;
    }
    const std::string actual = kube::GoQuote(TypeName(value));
    found.errors.push_back({FieldError::Type::kTypeInvalid, Field(name), actual,
                            absl::StrCat(name, " in body must be of type ",
                                         SchemaTypeName(schema.type), ": ", actual)});
    ++found.matches;
  }

  void Composite(const std::string& name, absl::string_view what, Findings& found) const {
    found.errors.push_back({FieldError::Type::kInvalid, prefix_.empty() ? "<nil>" : prefix_, "\"\"",
                            absl::StrCat(kube::GoQuote(name), what)});
  }

  void Compositions(const SchemaKeywords& keywords, const Value& value, const std::string& name,
                    Findings& found) const {
    if (!keywords.any_of.empty()) AnyOf(keywords, value, name, found);
    if (!keywords.one_of.empty()) OneOf(keywords, value, name, found);
    size_t valid = 0;
    for (const Schema* schema : keywords.all_of) {
      Findings one = Node(*schema, value, nullptr, name);
      if (one.ok()) ++valid;
      found.Merge(std::move(one));
    }
    if (valid != keywords.all_of.size()) {
      Composite(name,
                absl::StrCat(" must validate all the schemas (allOf)",
                             valid == 0 ? ". None validated" : ""),
                found);
    }
    if (keywords.not_schema != nullptr && Node(*keywords.not_schema, value, nullptr, name).ok()) {
      Composite(name, " must not validate the schema (not)", found);
    }
    ++found.matches;
  }

  void AnyOf(const SchemaKeywords& keywords, const Value& value, const std::string& name,
             Findings& found) const {
    std::optional<Findings> best;
    for (const Schema* schema : keywords.any_of) {
      Findings one = Node(*schema, value, nullptr, name);
      if (one.ok()) return found.Merge(std::move(one));
      if (!best.has_value() || one.matches > best->matches) best = std::move(one);
    }
    Composite(name, " must validate at least one schema (anyOf)", found);
    found.Merge(std::move(*best));
  }

  void OneOf(const SchemaKeywords& keywords, const Value& value, const std::string& name,
             Findings& found) const {
    std::optional<Findings> best, first;
    int valid = 0;
    for (const Schema* schema : keywords.one_of) {
      Findings one = Node(*schema, value, nullptr, name);
      if (one.ok()) {
        if (++valid == 1) first = std::move(one);
      } else if (!best.has_value() || one.matches > best->matches) {
        best = std::move(one);
      }
    }
    if (valid == 1) return found.Merge(std::move(*first));
    Composite(name,
              absl::StrCat(" must validate one and only one schema (oneOf). Found ",
                           valid == 0 ? "none valid" : absl::StrCat(valid, " valid alternatives")),
              found);
    if (valid == 0) found.Merge(std::move(*best));
  }

  void String(const Schema& schema, const SchemaKeywords& keywords, const Value& value,
              const std::string& name, Findings& found) const {
    const size_t errors_before = found.errors.size();
    if (keywords.max_length.has_value() && RuneCount(value.text()) > *keywords.max_length) {
      found.errors.push_back(
          {FieldError::Type::kTooLong, Field(name), "",
           absl::StrCat("may not be more than ", *keywords.max_length, " bytes")});
    } else if (keywords.min_length.has_value() && RuneCount(value.text()) < *keywords.min_length) {
      Invalid(name, Printed(value),
              absl::StrCat("should be at least ", *keywords.min_length, " chars long"), found);
    } else if (keywords.pattern != nullptr &&
               !re2::RE2::PartialMatch(re2::StringPiece(value.text().data(), value.text().size()),
                                       *keywords.pattern)) {
      Invalid(name, Printed(value), absl::StrCat("should match '", keywords.pattern_text, "'"),
              found);
    }
    if (!schema.format.empty() && IsKnownFormat(schema.format) &&
        !HasFormat(value.text(), schema.format)) {
      found.errors.push_back(
          {FieldError::Type::kTypeInvalid, Field(name), Printed(value),
           absl::StrCat(name, " in body must be of type ", schema.format, ": ", Printed(value))});
    }
    if (found.errors.size() == errors_before) ++found.matches;
  }

  void Number(const SchemaKeywords& keywords, const Value& value, const std::string& name,
              Findings& found) const {
    const double number = value.AsDouble().value_or(0);
    if (keywords.multiple_of.has_value() && !IsMultiple(value, *keywords.multiple_of)) {
      Invalid(name, Printed(value),
              absl::StrCat("should be a multiple of ", Bound(value, *keywords.multiple_of)), found);
    }
    if (keywords.minimum.has_value()) {
      const bool exclusive = keywords.exclusive_minimum;
      if (number < *keywords.minimum || (exclusive && number == *keywords.minimum)) {
        Invalid(name, Printed(value),
                absl::StrCat("should be greater than ", exclusive ? "" : "or equal to ",
                             Bound(value, *keywords.minimum)),
                found);
      }
    }
    if (keywords.maximum.has_value()) {
      const bool exclusive = keywords.exclusive_maximum;
      if (number > *keywords.maximum || (exclusive && number == *keywords.maximum)) {
        Invalid(name, Printed(value),
                absl::StrCat("should be less than ", exclusive ? "" : "or equal to ",
                             Bound(value, *keywords.maximum)),
                found);
      }
    }
    found.matches += 2;
  }

  // The item that is the same one in the old list, where lists are keyed.
  static const Value* OldItem(const Schema& schema, const Value& item, const Value* old) {
    if (old == nullptr || !old->is_array() || schema.list_type != ListType::kMap) return nullptr;
    for (const Value& candidate : old->items()) {
      const bool same = std::all_of(
          schema.list_map_keys.begin(), schema.list_map_keys.end(), [&](const std::string& key) {
            const Value* a = item.Find(key);
            const Value* b = candidate.Find(key);
            return a != nullptr && b != nullptr ? SameTree(*a, *b) : a == b;
          });
      if (same) return &candidate;
    }
    return nullptr;
  }

  void Array(const Schema& schema, const SchemaKeywords& keywords, const Value& value,
             const Value* old, const std::string& name, Findings& found) const {
    const auto size = static_cast<int64_t>(value.items().size());
    if (schema.items != nullptr) {
      for (int64_t i = 0; i < size; ++i) {
        const Value& item = value.items()[i];
        found.Merge(
            Node(*schema.items, item, OldItem(schema, item, old), absl::StrCat(name, "[", i, "]")));
      }
    }
    if (keywords.min_items.has_value() && size < *keywords.min_items) {
      Invalid(name, absl::StrCat(size),
              absl::StrCat("should have at least ", *keywords.min_items, " items"), found);
    }
    if (keywords.max_items.has_value() && size > *keywords.max_items) {
      TooMany(name, size, *keywords.max_items, found);
    }
    if (keywords.unique_items && HasDuplicates(value)) {
      Invalid(name, "\"\"", "shouldn't contain duplicates", found);
    }
    found.matches += 2;
  }

  void TooMany(const std::string& name, int64_t count, int64_t max, Findings& found) const {
    found.errors.push_back({FieldError::Type::kTooMany, Field(name), absl::StrCat(count),
                            absl::StrCat("must have at most ", max, " items")});
  }

  void Enum(const SchemaKeywords& keywords, const Value& value, const std::string& name,
            Findings& found) const {
    if (keywords.enum_values.empty()) {
      ++found.matches;
      return;
    }
    std::string supported;
    for (const Value& candidate : keywords.enum_values) {
      if (SameTree(candidate, value)) {
        ++found.matches;
        return;
      }
      absl::StrAppend(
          &supported, supported.empty() ? "" : ", ",
          kube::GoQuote(candidate.is_string() ? candidate.text() : json::ToString(candidate)));
    }
    found.errors.push_back({FieldError::Type::kNotSupported, Field(name), Printed(value),
                            absl::StrCat("supported values: ", supported)});
  }

  void Object(const Schema& schema, const SchemaKeywords& keywords, const Value& value,
              const Value* old, const std::string& name, Findings& found) const {
    const auto size = static_cast<int64_t>(value.members().size());
    if (keywords.min_properties.has_value() && size < *keywords.min_properties) {
      Invalid(name, absl::StrCat(size),
              absl::StrCat("should have at least ", *keywords.min_properties, " properties"),
              found);
    }
    if (keywords.max_properties.has_value() && size > *keywords.max_properties) {
      TooMany(name, size, *keywords.max_properties, found);
    }
    for (const Member& member : value.members()) {
      const Property* property = schema.Find(member.key);
      const Schema* child = property != nullptr ? property->schema : schema.values;
      if (child == nullptr) continue;
      const bool nameless = property != nullptr && name.empty();
      found.Merge(Node(*child, member.value, old == nullptr ? nullptr : old->Find(member.key),
                       nameless ? member.key : absl::StrCat(name, ".", member.key)));
    }
    for (const std::string& required : keywords.required) {
      if (value.Find(required) != nullptr) continue;
      found.errors.push_back(
          {FieldError::Type::kRequired, Field(absl::StrCat(name, ".", required)), "", ""});
    }
    ++found.matches;
  }

  const std::string prefix_;
};

}  // namespace

kube::FieldErrors Validate(const Schema& schema, const Value& object, const kube::FieldPath& path) {
  kube::FieldErrors errors =
      Validator(path.text()).Node(schema, object, nullptr, std::string()).errors;
  ValidateEmbedded(schema, object, path, errors);
  ValidateListTypes(schema, object, path, errors);
  return errors;
}

kube::FieldErrors ValidateUpdate(const Schema& schema, const Value& object, const Value& old_object,
                                 const kube::FieldPath& path) {
  kube::FieldErrors errors =
      Validator(path.text()).Node(schema, object, &old_object, std::string()).errors;
  ValidateEmbedded(schema, object, path, errors);
  kube::FieldErrors old_errors;
  ValidateListTypes(schema, old_object, path, old_errors);
  if (old_errors.empty()) ValidateListTypes(schema, object, path, errors);
  return errors;
}

}  // namespace meltemi::apiserver
