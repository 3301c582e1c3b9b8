#include "orchestrator/apiserver/patch/same_json.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/json/write.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

bool SameNumber(const Value& a, const Value& b) {
  if (a.text() == b.text()) return true;
  // Large integers differ where their doubles don't.
  std::optional<int64_t> left = a.AsInt64(), right = b.AsInt64();
  if (left.has_value() && right.has_value()) return *left == *right;
  return a.AsDouble() == b.AsDouble();
}

bool SameMembers(const Value& a, const Value& b) {
  if (a.members().size() != b.members().size()) return false;
  for (size_t i = 0; i < a.members().size(); ++i) {
    const json::Member& member = a.members()[i];
    // Mostly both were written by the same hand, so the order is the same.
    const json::Member& beside = b.members()[i];
    const Value* other = beside.key == member.key ? &beside.value : b.Find(member.key);
    if (other == nullptr || !SameJson(member.value, *other)) return false;
  }
  return true;
}

}  // namespace

bool SameJson(const Value& a, const Value& b) {
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Value::Kind::kNull:
      return true;
    case Value::Kind::kBool:
      return a.bool_value() == b.bool_value();
    case Value::Kind::kNumber:
      return SameNumber(a, b);
    case Value::Kind::kString:
      return a.text() == b.text();
    case Value::Kind::kArray:
      return std::equal(a.items().begin(), a.items().end(), b.items().begin(), b.items().end(),
                        SameJson);
    case Value::Kind::kObject:
      return SameMembers(a, b);
  }
  return false;
}

std::string ScalarKey(const Value& value) {
  switch (value.kind()) {
    case Value::Kind::kString:
      return absl::StrCat("s", value.text());
    case Value::Kind::kNumber:
      if (std::optional<int64_t> integer = value.AsInt64()) return absl::StrCat("n", *integer);
      return absl::StrCat("n", value.AsDouble().value_or(0));
    default:
      return absl::StrCat("j", json::ToString(value));
  }
}

size_t DepthOf(const Value& value) {
  size_t below = 0;
  for (const Value& item : value.items()) below = std::max(below, DepthOf(item));
  for (const json::Member& member : value.members()) {
    below = std::max(below, DepthOf(member.value));
  }
  return below + 1;
}

}  // namespace meltemi::apiserver
