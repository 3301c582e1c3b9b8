// Rules of x-kubernetes-validations: compiled once, evaluated on values of custom resources.
//
// Of CEL this is what rules mostly use: all operators and macros, strings, lists, maps, numbers,
// and the common functions on them. Timestamps, durations, quantities, URLs, IP addresses and
// optional values are not part of it: Compile says so.
//
// Threads: a Program is immutable; evaluation has no other state than its budget.
// Source: cel-spec doc/langdef.md; kubernetes.io/docs/reference/using-api/cel.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "orchestrator/apiserver/schema/cel/ast.h"

namespace meltemi::cel {

// Steps that may still be taken; shared by all rules of one request.
struct Budget {
  int64_t steps = 1'000'000;
};

class Program {
 public:
  // Errors: InvalidArgument for what is no CEL or names something unknown; Unimplemented for a
  // function of Kubernetes' that is not part of this.
  static absl::StatusOr<Program> Compile(absl::string_view expression);

  bool uses_old_self() const { return uses_old_self_; }

  // old_self: null where there is none. Errors: OutOfRange when the budget is used up; others say
  // what went wrong in CEL's words ("no such key: x").
  absl::StatusOr<bool> Test(const json::Value& self, const json::Value* old_self,
                            Budget& budget) const;
  // Of a messageExpression.
  absl::StatusOr<std::string> Text(const json::Value& self, const json::Value* old_self,
                                   Budget& budget) const;

 private:
  std::shared_ptr<const Node> root_;
  bool uses_old_self_ = false;
};

}  // namespace meltemi::cel
