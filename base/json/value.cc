#include "base/json/value.h"

#include <cmath>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace meltemi::json {

Value Value::Bool(bool value) {
  Value out;
  out.kind_ = Kind::kBool;
  out.bool_ = value;
  return out;
}

Value Value::Number(std::string text) {
  Value out;
  out.kind_ = Kind::kNumber;
  out.text_ = std::move(text);
  return out;
}

Value Value::Int(int64_t value) { return Number(absl::StrCat(value)); }

Value Value::String(std::string text) {
  Value out;
  out.kind_ = Kind::kString;
  out.text_ = std::move(text);
  return out;
}

Value Value::Array() {
  Value out;
  out.kind_ = Kind::kArray;
  return out;
}

Value Value::Object() {
  Value out;
  out.kind_ = Kind::kObject;
  return out;
}

std::optional<double> Value::AsDouble() const {
  double out;
  if (!is_number() || !absl::SimpleAtod(text_, &out)) return std::nullopt;
  return out;
}

std::optional<int64_t> Value::AsInt64() const {
  if (!is_number()) return std::nullopt;
  int64_t out;
  if (absl::SimpleAtoi(text_, &out)) return out;
  const std::optional<double> real = AsDouble();
  if (!real.has_value() || std::trunc(*real) != *real) return std::nullopt;
  // Both bounds are powers of two, hence exact as doubles.
  if (*real < -9223372036854775808.0 || *real >= 9223372036854775808.0) return std::nullopt;
  return static_cast<int64_t>(*real);
}

std::optional<uint64_t> Value::AsUint64() const {
  if (!is_number()) return std::nullopt;
  uint64_t out;
  if (absl::SimpleAtoi(text_, &out)) return out;
  const std::optional<double> real = AsDouble();
  if (!real.has_value() || std::trunc(*real) != *real) return std::nullopt;
  if (*real < 0 || *real >= 18446744073709551616.0) return std::nullopt;
  return static_cast<uint64_t>(*real);
}

const Value* Value::Find(absl::string_view key) const {
  for (const Member& member : members_) {
    if (member.key == key) return &member.value;
  }
  return nullptr;
}

Value* Value::Find(absl::string_view key) {
  return const_cast<Value*>(static_cast<const Value*>(this)->Find(key));
}

absl::string_view Value::FindString(absl::string_view key) const {
  const Value* value = Find(key);
  return value != nullptr && value->is_string() ? absl::string_view(value->text())
                                                : absl::string_view();
}

Value& Value::Add(std::string key, Value value) {
  const int line = value.line();
  members_.push_back(Member{.key = std::move(key), .line = line, .value = std::move(value)});
  return members_.back().value;
}

Value& Value::Set(absl::string_view key, Value value) {
  if (Value* member = Find(key)) return *member = std::move(value);
  return Add(std::string(key), std::move(value));
}

Value& Value::MutableObject(absl::string_view key) {
  Value* member = Find(key);
  if (member == nullptr) return Add(std::string(key), Object());
  if (member->is_null()) *member = Object();
  return *member;
}

bool Value::Remove(absl::string_view key) {
  for (auto member = members_.begin(); member != members_.end(); ++member) {
    if (member->key != key) continue;
    members_.erase(member);
    return true;
  }
  return false;
}

Value& Value::Append(Value value) {
  items_.push_back(std::move(value));
  return items_.back();
}

absl::string_view Value::KindName() const {
  switch (kind_) {
    case Kind::kNull:
      return "null";
    case Kind::kBool:
      return "a boolean";
    case Kind::kNumber:
      return "a number";
    case Kind::kString:
      return "a string";
    case Kind::kArray:
      return "a list";
    case Kind::kObject:
      return "an object";
  }
  return "";
}

bool Value::operator==(const Value& other) const {
  return kind_ == other.kind_ && bool_ == other.bool_ && text_ == other.text_ &&
         items_ == other.items_ && members_ == other.members_;
}

}  // namespace meltemi::json
