#include "orchestrator/apiserver/schema/values.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/json/write.h"
#include "kube/status/field_error.h"

namespace meltemi::apiserver {
namespace {

using json::Member;
using json::Value;

std::vector<const Member*> Sorted(const Value& object) {
  std::vector<const Member*> members;
  members.reserve(object.members().size());
  for (const Member& member : object.members()) members.push_back(&member);
  std::sort(members.begin(), members.end(),
            [](const Member* a, const Member* b) { return a->key < b->key; });
  return members;
}

std::string NumberText(const Value& number) {
  if (const auto integer = number.AsInt64()) return absl::StrCat(*integer);
  const auto real = number.AsDouble();
  return real.has_value() ? GoNumber(*real) : number.text();
}

}  // namespace

bool SameTree(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Value::Kind::kNull:
      return true;
    case Value::Kind::kBool:
      return a.bool_value() == b.bool_value();
    case Value::Kind::kString:
      return a.text() == b.text();
    case Value::Kind::kNumber:
      return a.text() == b.text() || NumberText(a) == NumberText(b);
    case Value::Kind::kArray:
      return std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(),
                        SameTree);
    case Value::Kind::kObject:
      break;
  }
  if (a.members().size() != b.members().size()) return false;
  // Mostly the members come in the same order.
  for (size_t i = 0; i < a.members().size(); ++i) {
    const Member& member = a.members()[i];
    const Member& guess = b.members()[i];
    const Value* other = guess.key == member.key ? &guess.value : b.Find(member.key);
    if (other == nullptr || !SameTree(member.value, *other)) return false;
  }
  return true;
}

namespace {

bool SaysNothing(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kNull:
      return true;
    case Value::Kind::kBool:
      return !value.bool_value();
    case Value::Kind::kString:
      return value.text().empty();
    case Value::Kind::kNumber:
      return NumberText(value) == "0";
    case Value::Kind::kArray:
      return value.items().empty();
    case Value::Kind::kObject:
      break;
  }
  return std::all_of(value.members().begin(), value.members().end(),
                     [](const Member& member) { return SaysNothing(member.value); });
}

}  // namespace

bool SurelyDiffer(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return !SaysNothing(a) || !SaysNothing(b);
  if (a.is_array()) {
    if (a.items().size() != b.items().size()) return true;
    for (size_t i = 0; i < a.items().size(); ++i) {
      if (SurelyDiffer(a.items()[i], b.items()[i])) return true;
    }
    return false;
  }
  if (!a.is_object()) return !SameTree(a, b);
  size_t shared = 0;
  for (size_t i = 0; i < a.members().size(); ++i) {
    const Member& member = a.members()[i];
    const bool guessed = i < b.members().size() && b.members()[i].key == member.key;
    const Value* other = guessed ? &b.members()[i].value : b.Find(member.key);
    shared += other != nullptr;
    if (other == nullptr ? !SaysNothing(member.value) : SurelyDiffer(member.value, *other)) {
      return true;
    }
  }
  if (shared == b.members().size()) return false;
  return std::any_of(b.members().begin(), b.members().end(), [&a](const Member& member) {
    return a.Find(member.key) == nullptr && !SaysNothing(member.value);
  });
}

std::string CanonicalText(const Value& value) {
  std::string out;
  switch (value.kind()) {
    case Value::Kind::kArray:
      out = "[";
      for (const Value& item : value.items()) absl::StrAppend(&out, CanonicalText(item), ",");
      return out + "]";
    case Value::Kind::kObject:
      out = "{";
      for (const Member* member : Sorted(value)) {
        absl::StrAppend(&out, "\"");
        json::AppendEscaped(member->key, &out);
        absl::StrAppend(&out, "\":", CanonicalText(member->value), ",");
      }
      return out + "}";
    case Value::Kind::kNumber:
      return NumberText(value);
    default:
      return json::ToString(value);
  }
}

std::string GoSyntax(const Value& value) {
  absl::string_view separator;
  std::string out;
  switch (value.kind()) {
    case Value::Kind::kNull:
      return "interface {}(nil)";
    case Value::Kind::kString:
      return kube::GoQuote(value.text());
    case Value::Kind::kArray:
      out = "[]interface {}{";
      for (const Value& item : value.items()) {
        absl::StrAppend(&out, separator, GoSyntax(item));
        separator = ", ";
      }
      return out + "}";
    case Value::Kind::kObject:
      out = "map[string]interface {}{";
      for (const Member* member : Sorted(value)) {
        absl::StrAppend(&out, separator, kube::GoQuote(member->key), ":", GoSyntax(member->value));
        separator = ", ";
      }
      return out + "}";
    case Value::Kind::kNumber:
      return IsIntLiteral(value) ? value.text() : NumberText(value);
    case Value::Kind::kBool:
      break;
  }
  return value.bool_value() ? "true" : "false";
}

std::string GoNumber(double number) {
  if (std::isnan(number)) return "NaN";
  if (std::isinf(number)) return number > 0 ? "+Inf" : "-Inf";
  char buffer[64];
  const double size = std::fabs(number);
  const bool scientific = size != 0 && (size < 1e-4 || size >= 1e21);
  const auto result =
      std::to_chars(buffer, buffer + sizeof(buffer), number,
                    scientific ? std::chars_format::scientific : std::chars_format::fixed);
  return std::string(buffer, result.ptr);
}

bool IsIntLiteral(const Value& number) {
  return number.is_number() && number.text().find_first_of(".eE") == std::string::npos &&
         number.AsInt64().has_value();
}

}  // namespace meltemi::apiserver
