// $(NAME) in commands, arguments and values of variables.
//
// Threads: a pure function. Source: the API reference of Container.command; $$ is one $, and what
// is not known stays as it is.
#pragma once

#include <optional>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/strings/string_view.h"

namespace meltemi::kubelet {

std::string Expand(absl::string_view text,
                   absl::FunctionRef<std::optional<std::string>(const std::string& name)> value);

}  // namespace meltemi::kubelet
