// Values while an expression is evaluated. For program.cc and functions.cc.
//
// Threads: value types; lists and maps of the object are referred to, not copied.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "orchestrator/apiserver/schema/cel/program.h"

namespace meltemi::cel {

struct V {
  enum class Kind : uint8_t { kNull, kBool, kInt, kDouble, kString, kList, kMap, kType };

  static V Null() { return {}; }
  static V Bool(bool value) { return {.kind = Kind::kBool, .i = value ? 1 : 0}; }
  static V Int(int64_t value) { return {.kind = Kind::kInt, .i = value}; }
  static V Double(double value) { return {.kind = Kind::kDouble, .d = value}; }
  static V String(std::string text) { return {.kind = Kind::kString, .s = std::move(text)}; }
  static V Type(absl::string_view name) { return {.kind = Kind::kType, .s = std::string(name)}; }
  static V List(std::vector<V> items);
  static V Of(const json::Value& value);

  Kind kind = Kind::kNull;
  int64_t i = 0;
  double d = 0;
  std::string s = {};
  // A list or a map: of the object, or made by the expression.
  const json::Value* ref = nullptr;
  std::shared_ptr<const std::vector<V>> items = nullptr;  // of a map: key, value, key, value …

  bool is(Kind k) const { return kind == k; }
  bool is_number() const { return kind == Kind::kInt || kind == Kind::kDouble; }
  double real() const { return kind == Kind::kInt ? static_cast<double>(i) : d; }
  size_t size() const;  // of lists and maps
  V item(size_t index) const;
  // The value at the key of a map; false when there is none.
  bool Lookup(const V& key, V* out) const;
  std::vector<V> Keys() const;
};

absl::string_view TypeName(const V& value);
bool Equal(const V& a, const V& b);
// nullopt-like: false when the two can't be ordered.
bool Order(const V& a, const V& b, int* order);

absl::Status NoOverload();

// Functions and methods by name; `args` with the receiver first. Operators are the evaluator's.
bool IsKnownFunction(absl::string_view name);
// Functions of Kubernetes' or CEL's that are left out.
bool IsOmittedFunction(absl::string_view name);
absl::StatusOr<V> CallFunction(absl::string_view name, const std::vector<V>& args, Budget& budget);

}  // namespace meltemi::cel
