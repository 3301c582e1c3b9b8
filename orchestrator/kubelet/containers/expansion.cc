#include "orchestrator/kubelet/containers/expansion.h"

#include <cstddef>

#include "absl/strings/str_cat.h"

namespace meltemi::kubelet {

std::string Expand(absl::string_view text,
                   absl::FunctionRef<std::optional<std::string>(const std::string& name)> value) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 == text.size()) {
      out.push_back(text[i]);
      continue;
    }
    const char next = text[i + 1];
    if (next == '$') {
      out.push_back('$');
      ++i;
      continue;
    }
    const size_t end = next == '(' ? text.find(')', i + 2) : absl::string_view::npos;
    if (end == absl::string_view::npos) {
      out.push_back('$');
      continue;
    }
    const std::string name(text.substr(i + 2, end - i - 2));
    const std::optional<std::string> found = value(name);
    absl::StrAppend(&out, found ? *found : absl::StrCat("$(", name, ")"));
    i = end;
  }
  return out;
}

}  // namespace meltemi::kubelet
