// The syntax tree of a CEL expression, and its parser.
//
// Threads: immutable once parsed. Source: github.com/google/cel-spec, doc/langdef.md.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace meltemi::cel {

struct Node {
  enum class Kind : uint8_t {
    kNull,
    kBool,    // number: 0 or 1
    kInt,     // number
    kDouble,  // real
    kString,  // text
    kIdent,   // text
    kSelect,  // args[0].text; `test`: has(args[0].text)
    kIndex,   // args[0][args[1]]
    kCall,    // text(args…); `method`: args[0].text(args[1]…)
    kList,    // args
    kMap,     // args: key, value, key, value …
    // args[0].text(variable, args[1] …): all, exists, exists_one, map, filter
    kMacro,
  };
  Kind kind = Kind::kNull;
  std::string text, variable;
  int64_t number = 0;
  double real = 0;
  bool test = false, method = false;
  std::vector<std::unique_ptr<const Node>> args;
};

// Operators are calls named by their sign: "_+_", "_==_", "_?_:_", "!_", "-_", "_&&_", "_in_".
// Error: InvalidArgument with position and cause. At most 16 KiB, nested at most 64 deep.
absl::StatusOr<std::unique_ptr<const Node>> Parse(absl::string_view expression);

}  // namespace meltemi::cel
