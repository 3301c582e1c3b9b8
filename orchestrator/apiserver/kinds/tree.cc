#include "orchestrator/apiserver/kinds/tree.h"

#include <algorithm>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/json/write.h"

namespace meltemi::apiserver {
namespace {

const json::Value& NullValue() {
  static const auto& null = *new json::Value;
  return null;
}

bool IsEmptyCollection(const json::Value& value) {
  return value.is_null() || (value.is_array() && value.items().empty());
}

bool IsTextMap(const json::Value& value) {
  return value.is_object() && absl::c_all_of(value.members(), [](const json::Member& member) {
           return member.value.is_string();
         });
}

bool SameObjects(const json::Value& a, const json::Value& b) {
  for (const json::Member& member : a.members()) {
    if (!Same(member.value, Get(b, member.key))) return false;
  }
  return absl::c_all_of(b.members(), [&a](const json::Member& member) {
    return a.Find(member.key) != nullptr || Same(NullValue(), member.value);
  });
}

}  // namespace

const json::Value& Get(const json::Value& object, absl::string_view key) {
  const json::Value* member = object.Find(key);
  return member == nullptr ? NullValue() : *member;
}

bool Has(const json::Value& object, absl::string_view key) { return !Get(object, key).is_null(); }

absl::string_view Text(const json::Value& object, absl::string_view key) {
  return object.FindString(key);
}

std::optional<int64_t> OptionalInt(const json::Value& object, absl::string_view key) {
  return Get(object, key).AsInt64();
}

int64_t Int(const json::Value& object, absl::string_view key, int64_t fallback) {
  return OptionalInt(object, key).value_or(fallback);
}

bool Bool(const json::Value& object, absl::string_view key, bool fallback) {
  const json::Value& value = Get(object, key);
  return value.is_bool() ? value.bool_value() : fallback;
}

const std::vector<json::Value>& Items(const json::Value& object, absl::string_view key) {
  return Get(object, key).items();
}

const std::vector<json::Member>& Members(const json::Value& object, absl::string_view key) {
  return Get(object, key).members();
}

void SetDefault(json::Value& object, absl::string_view key, json::Value value) {
  if (object.is_object() && !Has(object, key)) object.Set(key, std::move(value));
}

void SetDefault(json::Value& object, absl::string_view key, absl::string_view text) {
  SetDefault(object, key, json::Value::String(std::string(text)));
}

void SetDefault(json::Value& object, absl::string_view key, int64_t number) {
  SetDefault(object, key, json::Value::Int(number));
}

json::Value* MutableMember(json::Value& object, absl::string_view key) {
  json::Value* member = object.Find(key);
  return member != nullptr && member->is_object() ? member : nullptr;
}

std::vector<json::Value>* MutableItems(json::Value& object, absl::string_view key) {
  json::Value* member = object.Find(key);
  return member != nullptr && member->is_array() ? &member->items() : nullptr;
}

void CopyMember(const json::Value& from, absl::string_view key, json::Value& to) {
  const json::Value* member = from.Find(key);
  if (member != nullptr) {
    to.Set(key, *member);
  } else {
    to.Remove(key);
  }
}

bool Same(const json::Value& a, const json::Value& b) {
  if (a.kind() != b.kind()) {
    return (IsEmptyCollection(a) && IsEmptyCollection(b));
  }
  switch (a.kind()) {
    case json::Value::Kind::kNull:
      return true;
    case json::Value::Kind::kBool:
      return a.bool_value() == b.bool_value();
    case json::Value::Kind::kString:
      return a.text() == b.text();
    case json::Value::Kind::kNumber: {
      if (a.text() == b.text()) return true;
      const std::optional<int64_t> a_int = a.AsInt64(), b_int = b.AsInt64();
      if (a_int.has_value() && b_int.has_value()) return *a_int == *b_int;
      return a.AsDouble() == b.AsDouble();
    }
    case json::Value::Kind::kArray:
      return a.items().size() == b.items().size() &&
             std::equal(a.items().begin(), a.items().end(), b.items().begin(), Same);
    case json::Value::Kind::kObject:
      return SameObjects(a, b);
  }
  return false;
}

bool SameMember(const json::Value& a, const json::Value& b, absl::string_view key) {
  return Same(Get(a, key), Get(b, key));
}

std::string GoText(absl::string_view text) {
  std::string out = "\"";
  json::AppendEscaped(text, &out);
  return out + "\"";
}

std::string GoTextMap(const json::Value& map) {
  if (!map.is_object()) return "map[string]string(nil)";
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const json::Member& member : map.members()) {
    pairs.emplace_back(member.key, member.value.text());
  }
  std::sort(pairs.begin(), pairs.end());
  return absl::StrCat("map[string]string{",
                      absl::StrJoin(pairs, ", ",
                                    [](std::string* out, const auto& pair) {
                                      absl::StrAppend(out, GoText(pair.first), ":",
                                                      GoText(pair.second));
                                    }),
                      "}");
}

std::string GoTextList(const json::Value& list) {
  if (!list.is_array()) return "[]string(nil)";
  return absl::StrCat(
      "[]string{",
      absl::StrJoin(list.items(), ", ",
                    [](std::string* out, const json::Value& item) { *out += GoText(item.text()); }),
      "}");
}

std::string GoLabelSelector(const json::Value& selector) {
  std::string expressions = "[]v1.LabelSelectorRequirement(nil)";
  if (Has(selector, "matchExpressions")) {
    expressions = absl::StrCat(
        "[]v1.LabelSelectorRequirement{",
        absl::StrJoin(Items(selector, "matchExpressions"), ", ",
                      [](std::string* out, const json::Value& item) {
                        absl::StrAppend(
                            out, "v1.LabelSelectorRequirement{Key:", GoText(Text(item, "key")),
                            ", Operator:", GoText(Text(item, "operator")),
                            ", Values:", GoTextList(Get(item, "values")), "}");
                      }),
        "}");
  }
  return absl::StrCat("v1.LabelSelector{MatchLabels:", GoTextMap(Get(selector, "matchLabels")),
                      ", MatchExpressions:", expressions, "}");
}

kube::FieldError InvalidPrinted(const kube::FieldPath& path, std::string printed,
                                absl::string_view detail) {
  kube::FieldError error;
  error.type = kube::FieldError::Type::kInvalid;
  error.field = path.text();
  error.bad_value = std::move(printed);
  error.detail = std::string(detail);
  return error;
}

void ValidateImmutable(const json::Value& old_value, const json::Value& value,
                       const kube::FieldPath& path, kube::FieldErrors& errors) {
  if (Same(old_value, value)) return;
  if (value.is_object() && IsTextMap(value)) {
    errors.push_back(InvalidPrinted(path, GoTextMap(value), "field is immutable"));
    return;
  }
  errors.push_back(kube::InvalidField(path, value, "field is immutable"));
}

void ValidateNonNegative(int64_t value, const kube::FieldPath& path, kube::FieldErrors& errors) {
  if (value >= 0) return;
  errors.push_back(kube::InvalidField(path, value, "must be greater than or equal to 0"));
}

void ValidateNonNegative(const json::Value& object, absl::string_view key,
                         const kube::FieldPath& parent, kube::FieldErrors& errors) {
  const int64_t value = Int(object, key);
  if (value < 0) ValidateNonNegative(value, parent.Child(key), errors);
}

void ValidateOneOf(const json::Value& object, absl::string_view key, const kube::FieldPath& parent,
                   const std::vector<std::string>& supported, bool required,
                   kube::FieldErrors& errors) {
  const json::Value& value = Get(object, key);
  if (value.text().empty()) {
    if (required) errors.push_back(kube::Required(parent.Child(key)));
    return;
  }
  if (absl::c_linear_search(supported, value.text())) return;
  errors.push_back(kube::NotSupported(parent.Child(key), value, supported));
}

}  // namespace meltemi::apiserver
