// A JSON document as a tree that remembers where each value stood in its source. YAML is read into
// the same tree (base/yaml).
//
// Threads: a plain value type; no sharing rules of its own.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meltemi::json {

struct Member;

class Value {
 public:
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };

  Value() = default;
  static Value Bool(bool value);
  // `text` must be a number by JSON's grammar; it is kept as written, so that 64-bit integers keep
  // every digit.
  static Value Number(std::string text);
  static Value Int(int64_t value);
  static Value String(std::string text);
  static Value Array();
  static Value Object();

  Kind kind() const { return kind_; }
  bool is_null() const { return kind_ == Kind::kNull; }
  bool is_bool() const { return kind_ == Kind::kBool; }
  bool is_number() const { return kind_ == Kind::kNumber; }
  bool is_string() const { return kind_ == Kind::kString; }
  bool is_array() const { return kind_ == Kind::kArray; }
  bool is_object() const { return kind_ == Kind::kObject; }

  bool bool_value() const { return bool_; }
  // The text of a string or of a number; empty for every other kind.
  const std::string& text() const { return text_; }
  // The number as an integer, where it is one: "3" and "3.0" and "3e2" are, "3.5" is not.
  std::optional<int64_t> AsInt64() const;
  std::optional<uint64_t> AsUint64() const;
  std::optional<double> AsDouble() const;

  const std::vector<Value>& items() const { return items_; }
  std::vector<Value>& items() { return items_; }
  const std::vector<Member>& members() const { return members_; }
  std::vector<Member>& members() { return members_; }

  // The member of an object; null when there is none or this is no object.
  const Value* Find(absl::string_view key) const;
  Value* Find(absl::string_view key);
  // The member of a member …: Find("metadata", "labels"). Null as soon as one is missing.
  template <typename... Keys>
  const Value* Find(absl::string_view key, absl::string_view next, Keys... rest) const;
  // The text of a string member; empty when absent or not a string.
  absl::string_view FindString(absl::string_view key) const;
  // Replaces the member or appends it. Precondition: an object.
  Value& Set(absl::string_view key, Value value);
  // The member, which becomes an empty object when it is missing or null. Precondition: an object.
  Value& MutableObject(absl::string_view key);
  // Whether there was such a member.
  bool Remove(absl::string_view key);
  // Appends; the caller sees to it that keys stay unique.
  Value& Add(std::string key, Value value);
  Value& Append(Value value);

  // 1-based; 0 when the value does not come from a file.
  int line() const { return line_; }
  void set_line(int line) { line_ = line; }

  // "an object", "a string", … for messages.
  absl::string_view KindName() const;

  // Same kinds, texts and members in the same order; lines do not count.
  bool operator==(const Value& other) const;

 private:
  Kind kind_ = Kind::kNull;
  bool bool_ = false;
  int line_ = 0;
  std::string text_;
  std::vector<Value> items_;
  std::vector<Member> members_;
};

struct Member {
  std::string key;
  int line = 0;
  Value value;

  bool operator==(const Member& other) const { return key == other.key && value == other.value; }
};

template <typename... Keys>
const Value* Value::Find(absl::string_view key, absl::string_view next, Keys... rest) const {
  const Value* member = Find(key);
  return member == nullptr ? nullptr : member->Find(next, rest...);
}

}  // namespace meltemi::json
