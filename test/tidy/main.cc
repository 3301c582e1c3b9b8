// tidy --root=DIR: checks the house rules over the tree and prints TAP, one case per rule.

#include <stdio.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/strings/strip.h"
#include "test/tidy/function_lines.h"
#include "test/tidy/rules.h"

namespace meltemi::tidy {
namespace {

namespace fs = std::filesystem;

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

// Hidden folders, Bazel's links and the inputs of tests are not ours to judge.
bool IsOurs(const fs::directory_entry& entry) {
  const std::string name = entry.path().filename().string();
  return !entry.is_symlink() && !absl::StartsWith(name, ".") && !absl::StartsWith(name, "bazel-") &&
         name != "corpus" && name != "testdata" && name != "golden" && name != "node_modules" &&
         name != "__pycache__";
}

bool IsText(const fs::path& path) {
  for (absl::string_view suffix : {".h", ".cc", ".proto", ".sh", ".bzl", ".bazel", ".md", ".awk"}) {
    if (absl::EndsWith(path.filename().string(), suffix)) return true;
  }
  return path.filename() == "meltemi" || path.filename() == "WORKSPACE";
}

std::vector<File> ReadTree(const fs::path& root) {
  std::vector<File> files;
  auto walk = fs::recursive_directory_iterator(root);
  for (const fs::directory_entry& entry : walk) {
    if (!IsOurs(entry)) {
      if (entry.is_directory()) walk.disable_recursion_pending();
      continue;
    }
    if (!entry.is_regular_file() || !IsText(entry.path())) continue;
    File file{fs::relative(entry.path(), root).string(), ReadFile(entry.path()), ""};
    if (absl::EndsWith(file.path, ".h") || absl::EndsWith(file.path, ".cc")) {
      file.code = BlankOutNonCode(file.text);
    }
    files.push_back(std::move(file));
  }
  std::sort(files.begin(), files.end(),
            [](const File& a, const File& b) { return a.path < b.path; });
  return files;
}

// Links of Markdown pages to files of the tree: "](path)" or "](path#anchor)".
std::vector<Finding> CheckLinks(const fs::path& root, const std::vector<File>& files) {
  std::vector<Finding> findings;
  for (const File& file : files) {
    if (!absl::EndsWith(file.path, ".md")) continue;
    for (size_t at = file.text.find("]("); at != std::string::npos;
         at = file.text.find("](", at + 1)) {
      const size_t end = file.text.find_first_of(")# \n", at + 2);
      const std::string link = file.text.substr(at + 2, end - at - 2);
      if (link.empty() || absl::StrContains(link, "://")) continue;
      if (fs::exists(root / fs::path(file.path).parent_path() / link)) continue;
      findings.push_back({file.path, absl::StrCat("there is no ", link)});
    }
  }
  return findings;
}

// One TAP case; findings go above it as comments.
bool Report(int number, absl::string_view name, const std::vector<Finding>& findings) {
  for (const Finding& finding : findings) {
    printf("# %s: %s\n", finding.where.c_str(), finding.what.c_str());
  }
  printf("%s %d - %.*s\n", findings.empty() ? "ok" : "not ok", number,
         static_cast<int>(name.size()), name.data());
  return findings.empty();
}

bool CheckTree(const fs::path& root) {
  const std::vector<File> files = ReadTree(root);
  if (files.empty()) {
    printf("1..1\nnot ok 1 - there are files below %s\n", root.c_str());
    return false;
  }
  const Budget budget = ParseBudget(ReadFile(root / "test/tidy/budget.txt"));
  printf("1..%zu\n", FileRules().size() + 3);
  int number = 0;
  bool clean = true;
  for (const Rule& rule : FileRules()) {
    std::vector<Finding> findings;
    for (const File& file : files) {
      std::vector<Finding> found = rule.check(file, budget);
      std::move(found.begin(), found.end(), std::back_inserter(findings));
    }
    clean &= Report(++number, rule.name, findings);
  }
  clean &= Report(++number, "folders are named for what they do", CheckFolderNames(files));
  clean &= Report(++number, "every folder with code has a README", CheckReadmes(files));
  clean &= Report(++number, "links in Markdown lead somewhere", CheckLinks(root, files));
  return clean;
}

}  // namespace
}  // namespace meltemi::tidy

int main(int argc, char** argv) {
  absl::string_view root = argc == 2 ? argv[1] : "";
  if (!absl::ConsumePrefix(&root, "--root=") || root.empty()) {
    fprintf(stderr, "usage: tidy --root=DIR\n");
    return 2;
  }
  return meltemi::tidy::CheckTree(std::string(root)) ? 0 : 1;
}
