// The house rules that a program can check. A rule looks at one file and says what is wrong in it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meltemi::tidy {

struct File {
  std::string path;  // relative to the root, with '/'
  std::string text;
  std::string code;  // C++ only: the text without comments and literals
};

struct Finding {
  std::string where;  // "path:line"
  std::string what;   // what is wrong and what to do
};

// Files and functions that were over the limit when the rule came: they may only shrink.
// Key "file_lines PATH" or "function_lines PATH".
using Budget = std::map<std::string, int>;

struct Rule {
  absl::string_view name;  // one test case each
  std::vector<Finding> (*check)(const File& file, const Budget& budget);
};

// Rules over single files, in the order they are reported.
const std::vector<Rule>& FileRules();

// Rules over the list of all files: folder names, READMEs.
std::vector<Finding> CheckFolderNames(const std::vector<File>& files);
std::vector<Finding> CheckReadmes(const std::vector<File>& files);

// "file_lines some/path.cc 1234" per line, '#' comments.
Budget ParseBudget(absl::string_view text);

}  // namespace meltemi::tidy
