// Finds function bodies in C++ text and measures them, well enough for a budget.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meltemi::tidy {

struct FunctionSpan {
  int first_line = 0;  // the line of the opening brace, 1-based
  int lines = 0;       // to the closing brace, both included
};

// Replaces comments, literals and preprocessor lines by blanks; keeps every line break.
std::string BlankOutNonCode(absl::string_view text);

// The bodies of functions and of lambdas at namespace scope, in file order. Nested lambdas and
// local classes belong to the function around them. Text that is not C++ gives a meaningless
// result, never a crash.
std::vector<FunctionSpan> FindFunctions(absl::string_view text);

}  // namespace meltemi::tidy
