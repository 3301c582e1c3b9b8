// The steps of a compiled path. For jsonpath.cc alone.
//
// Threads: immutable once compiled.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kube/jsonpath/jsonpath.h"

namespace meltemi::kube {

struct JsonPath::Node {
  enum class Kind : uint8_t { kField, kSlice, kWildcard, kRecursive, kUnion, kFilter };
  enum class Operator : uint8_t {
    kExists,
    kEqual,
    kNotEqual,
    kLess,
    kLessOrEqual,
    kGreater,
    kGreaterOrEqual,
  };
  struct Operand {
    std::optional<json::Value> literal;  // else:
    std::vector<Node> path;              // from the item that is looked at
  };

  Kind kind = Kind::kField;
  std::string name;  // kField
  // kSlice; `single`: [begin] alone.
  std::optional<int64_t> begin = {}, end = {}, step = {};
  bool single = false;
  std::vector<std::vector<Node>> branches = {};  // kUnion
  Operator op = Operator::kExists;               // kFilter
  Operand left = {}, right = {};
};

}  // namespace meltemi::kube
