#include "cli/args.h"

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace meltemi::cli {
namespace {

const Option* Find(const std::vector<Option>& options, absl::string_view word) {
  for (const Option& option : options) {
    if (absl::StartsWith(word, "--") && word.substr(2) == option.name) return &option;
    if (option.letter != 0 && word.size() == 2 && word[0] == '-' && word[1] == option.letter) {
      return &option;
    }
  }
  return nullptr;
}

}  // namespace

absl::StatusOr<Args> Args::Parse(const std::vector<std::string>& words,
                                 const std::vector<Option>& options) {
  Args args;
  for (const Option& option : options) args.values_[option.name] = option.fallback;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i].size() < 2 || words[i][0] != '-') {
      args.rest_.push_back(words[i]);
      continue;
    }
    const size_t equals = words[i].find('=');
    const std::string name = words[i].substr(0, equals);
    const Option* option = Find(options, name);
    if (option == nullptr) return absl::InvalidArgumentError(absl::StrCat("no option ", name));
    std::string value = "true";
    if (equals != std::string::npos) {
      value = words[i].substr(equals + 1);
    } else if (!option->value.empty()) {
      if (i + 1 == words.size()) {
        return absl::InvalidArgumentError(absl::StrCat(name, " wants ", option->value));
      }
      value = words[++i];
    }
    args.values_[option->name] = std::move(value);
  }
  return args;
}

const std::string& Args::Get(absl::string_view name) const {
  static const std::string& none = *new std::string();
  const auto it = values_.find(std::string(name));
  return it == values_.end() ? none : it->second;
}

std::string OptionsHelp(const std::vector<Option>& options) {
  std::string text;
  for (const Option& option : options) {
    std::string left = option.letter != 0 ? absl::StrCat("  -", std::string(1, option.letter), ", ")
                                          : std::string("      ");
    absl::StrAppend(&left, "--", option.name, option.value.empty() ? "" : " ", option.value);
    if (left.size() < 32) left.resize(32, ' ');
    absl::StrAppend(&text, left, " ", option.help);
    if (!option.fallback.empty()) absl::StrAppend(&text, " (default: ", option.fallback, ")");
    text += "\n";
  }
  return text;
}

}  // namespace meltemi::cli
