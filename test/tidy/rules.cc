#include "test/tidy/rules.h"

#include <algorithm>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "test/tidy/function_lines.h"

namespace meltemi::tidy {
namespace {

constexpr int kColumnsMax = 100;
constexpr int kFileLinesMax = 800;
constexpr int kFunctionLinesMax = 70;

bool HasSuffix(const File& file, std::initializer_list<absl::string_view> suffixes) {
  return std::any_of(suffixes.begin(), suffixes.end(),
                     [&](absl::string_view suffix) { return absl::EndsWith(file.path, suffix); });
}

bool IsCpp(const File& file) { return HasSuffix(file, {".h", ".cc"}); }

bool IsTest(const File& file) {
  return HasSuffix(file, {"_test.cc", "_fuzz.cc", "_fake.h", "_fake.cc"}) ||
         absl::StartsWith(file.path, "test/");
}

std::string At(const File& file, size_t line) { return absl::StrCat(file.path, ":", line); }

std::vector<absl::string_view> Lines(absl::string_view text) {
  std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  if (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

// Calls `wrong(line)` for each line; a non-empty answer is a finding.
template <typename Wrong>
std::vector<Finding> EachLine(const File& file, absl::string_view text, Wrong wrong) {
  std::vector<Finding> findings;
  size_t number = 0;
  for (absl::string_view line : Lines(text)) {
    ++number;
    const std::string what = wrong(line);
    if (!what.empty()) findings.push_back({At(file, number), what});
  }
  return findings;
}

int Columns(absl::string_view line) {
  return static_cast<int>(std::count_if(
      line.begin(), line.end(), [](char c) { return (static_cast<unsigned char>(c) >> 6) != 2; }));
}

std::vector<Finding> CheckColumns(const File& file, const Budget&) {
  if (!HasSuffix(file, {".h", ".cc", ".proto", ".sh", ".bzl", ".bazel"})) return {};
  return EachLine(file, file.text, [](absl::string_view line) -> std::string {
    const bool breakable = !absl::StrContains(line, "://") && !absl::StartsWith(line, "#include");
    if (Columns(line) <= kColumnsMax || !breakable) return "";
    return absl::StrCat(Columns(line), " columns, at most ", kColumnsMax, ": break the line");
  });
}

std::vector<Finding> CheckBlanks(const File& file, const Budget&) {
  std::vector<Finding> findings =
      EachLine(file, file.text, [&](absl::string_view line) -> std::string {
        if (absl::EndsWith(line, "\r")) return "carriage return: use \\n line ends";
        if (absl::EndsWith(line, " ") || absl::EndsWith(line, "\t")) {
          return "trailing blank: ./meltemi fix";
        }
        if (IsCpp(file) && absl::StrContains(line, '\t')) return "tab: ./meltemi fix";
        return "";
      });
  if (!file.text.empty() && file.text.back() != '\n') {
    findings.push_back({file.path, "no newline at the end: ./meltemi fix"});
  }
  return findings;
}

// The ratchet: an entry of the budget raises the limit, and must be lowered as the file shrinks.
std::vector<Finding> CompareWithBudget(const File& file, absl::string_view kind, int lines,
                                       int limit, const std::string& where, const Budget& budget) {
  const auto entry = budget.find(absl::StrCat(kind, " ", file.path));
  const int allowed = entry == budget.end() ? limit : entry->second;
  if (lines > allowed) {
    return {{where, absl::StrCat(lines, " lines, at most ", allowed,
                                 ": bigger is a sign of a missing stage; split it")}};
  }
  if (entry != budget.end() && lines < allowed) {
    const std::string advice =
        lines <= limit ? "remove the entry" : absl::StrCat("lower it to ", lines);
    return {{"test/tidy/budget.txt",
             absl::StrCat(kind, " ", file.path, " ", allowed, " is more than needed: ", advice)}};
  }
  return {};
}

std::vector<Finding> CheckFileLines(const File& file, const Budget& budget) {
  if (!HasSuffix(file, {".h", ".cc", ".sh", ".bzl"}) && file.path != "meltemi") return {};
  const int lines = static_cast<int>(Lines(file.text).size());
  return CompareWithBudget(file, "file_lines", lines, kFileLinesMax, file.path, budget);
}

std::vector<Finding> CheckFunctionLines(const File& file, const Budget& budget) {
  if (!IsCpp(file)) return {};
  const std::vector<FunctionSpan> functions = FindFunctions(file.text);
  const bool has_entry = budget.contains(absl::StrCat("function_lines ", file.path));
  std::vector<Finding> findings;
  FunctionSpan longest;
  for (const FunctionSpan& function : functions) {
    if (function.lines > longest.lines) longest = function;
    if (has_entry || function.lines <= kFunctionLinesMax) continue;
    for (Finding& finding :
         CompareWithBudget(file, "function_lines", function.lines, kFunctionLinesMax,
                           At(file, function.first_line), {})) {
      findings.push_back(std::move(finding));
    }
  }
  if (!has_entry) return findings;
  return CompareWithBudget(file, "function_lines", longest.lines, kFunctionLinesMax,
                           At(file, longest.first_line), budget);
}

std::vector<Finding> CheckHeaderGuard(const File& file, const Budget&) {
  if (!HasSuffix(file, {".h"})) return {};
  if (absl::StrContains(file.text, "\n#pragma once\n") ||
      absl::StartsWith(file.text, "#pragma once\n")) {
    return {};
  }
  return {{file.path, "a header starts with #pragma once (after its comment)"}};
}

std::vector<Finding> CheckTodo(const File& file, const Budget&) {
  if (!HasSuffix(file, {".h", ".cc", ".proto", ".sh", ".bzl", ".bazel"})) return {};
  if (absl::StartsWith(file.path, "test/tidy/")) return {};
  return EachLine(file, file.text, [](absl::string_view line) -> std::string {
    for (absl::string_view word : {"FIXME", "XXX:", "HACK:"}) {
      if (absl::StrContains(line, word)) return "write it as TODO(what it waits for): what to do";
    }
    const size_t at = line.find("TODO");
    if (at == absl::string_view::npos) return "";
    const absl::string_view rest = line.substr(at + 4);
    const size_t close = rest.find("): ");
    if (absl::StartsWith(rest, "(") && close != absl::string_view::npos && close > 1) return "";
    return "a TODO says what it waits for: TODO(reason): what to do";
  });
}

// Code, with its strings and comments blanked, must not contain `word`.
std::vector<Finding> Forbid(const File& file, std::initializer_list<absl::string_view> words,
                            absl::string_view instead) {
  return EachLine(file, file.code, [&](absl::string_view line) -> std::string {
    for (absl::string_view word : words) {
      const size_t at = line.find(word);
      if (at == absl::string_view::npos) continue;
      // All that we forbid takes arguments: `sleep()` is a name of somebody's own.
      if (absl::EndsWith(word, "(") && absl::StartsWith(line.substr(at + word.size()), ")"))
        continue;
      const char before = at == 0 ? ' ' : line[at - 1];
      if (absl::ascii_isalnum(static_cast<unsigned char>(before)) || before == '_') continue;
      return absl::StrCat("'", word, "': ", instead);
    }
    return "";
  });
}

std::vector<Finding> CheckStdRegex(const File& file, const Budget&) {
  if (!IsCpp(file)) return {};
  return Forbid(file, {"std::regex", "std::basic_regex"},
                "its time is exponential in the input; use RE2");
}

std::vector<Finding> CheckMutexes(const File& file, const Budget&) {
  if (!IsCpp(file)) return {};
  return Forbid(file, {"absl::Mutex", "absl::Notification", "absl::BlockingCounter"},
                "TSan cannot see into Debian's Abseil; use std::mutex, std::latch");
}

std::vector<Finding> CheckSleeps(const File& file, const Budget&) {
  if (!IsCpp(file) || !IsTest(file)) return {};
  return Forbid(file,
                {"sleep_for(", "sleep_until(", "usleep(", "sleep(", "nanosleep(", "SleepFor("},
                "a test waits for the event, with a generous bound, or moves a fake clock");
}

std::vector<Finding> CheckEnvironment(const File& file, const Budget&) {
  const bool may = absl::StrContains(file.path, "/app/") || absl::StartsWith(file.path, "cli/") ||
                   absl::StartsWith(file.path, "bazel/") || IsTest(file);
  if (!IsCpp(file) || may) return {};
  return Forbid(file, {"getenv(", "secure_getenv("},
                "only app/ reads the environment; pass an option down");
}

std::vector<Finding> CheckExceptions(const File& file, const Budget&) {
  if (!IsCpp(file)) return {};
  return Forbid(file, {"throw ", "throw;"}, "return an absl::Status");
}

std::vector<Finding> CheckIncludes(const File& file, const Budget&) {
  if (!IsCpp(file)) return {};
  return EachLine(file, file.text, [](absl::string_view line) -> std::string {
    if (absl::StartsWith(line, "#include \"../") || absl::StartsWith(line, "#include \"./")) {
      return "include from the root: #include \"base/bytes/buffer.h\"";
    }
    return "";
  });
}

std::vector<Finding> CheckUsingNamespace(const File& file, const Budget&) {
  if (!HasSuffix(file, {".h"})) return {};
  // Inside a function it opens nothing for others; there it is indented.
  return EachLine(file, file.code, [](absl::string_view line) -> std::string {
    if (!absl::StartsWith(line, "using namespace ")) return "";
    return "a header must not open a namespace for its users";
  });
}

absl::string_view Folder(absl::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == absl::string_view::npos ? "" : path.substr(0, slash);
}

}  // namespace

const std::vector<Rule>& FileRules() {
  static const std::vector<Rule>* const rules = new std::vector<Rule>{
      {"lines have at most 100 columns", CheckColumns},
      {"no trailing blanks, tabs or missing last newline", CheckBlanks},
      {"files have at most 800 lines", CheckFileLines},
      {"functions have at most 70 lines", CheckFunctionLines},
      {"headers have #pragma once", CheckHeaderGuard},
      {"a TODO says what it waits for", CheckTodo},
      {"no std::regex", CheckStdRegex},
      {"locks are those that TSan knows", CheckMutexes},
      {"tests do not sleep", CheckSleeps},
      {"only app folders read the environment", CheckEnvironment},
      {"our code throws nothing", CheckExceptions},
      {"includes start at the root", CheckIncludes},
      {"no using namespace in headers", CheckUsingNamespace},
  };
  return *rules;
}

std::vector<Finding> CheckFolderNames(const std::vector<File>& files) {
  std::set<std::string> wrong;
  for (const File& file : files) {
    // The folders of api/ are other projects' package names.
    if (absl::StartsWith(file.path, "api/")) continue;
    for (absl::string_view part : absl::StrSplit(Folder(file.path), '/')) {
      for (absl::string_view banned : {"util", "utils", "common", "helper", "helpers", "misc"}) {
        if (part == banned) wrong.insert(std::string(Folder(file.path)));
      }
    }
  }
  std::vector<Finding> findings;
  for (const std::string& folder : wrong) {
    findings.push_back({folder, "name a folder for what it does"});
  }
  return findings;
}

std::vector<Finding> CheckReadmes(const std::vector<File>& files) {
  std::set<std::string> present;
  std::set<std::string> wanted;
  for (const File& file : files) {
    if (absl::EndsWith(file.path, "/README.md")) present.insert(std::string(Folder(file.path)));
    if (IsCpp(file)) wanted.insert(std::string(Folder(file.path)));
  }
  std::vector<Finding> findings;
  for (const std::string& folder : wanted) {
    if (!folder.empty() && !present.contains(folder)) {
      findings.push_back(
          {folder, "README.md is missing: comes from, goes to, key classes, invariants"});
    }
  }
  return findings;
}

Budget ParseBudget(absl::string_view text) {
  Budget budget;
  for (absl::string_view line : Lines(text)) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipEmpty());
    int lines = 0;
    if (words.size() == 3 && absl::SimpleAtoi(words[2], &lines)) {
      budget[absl::StrCat(words[0], " ", words[1])] = lines;
    }
  }
  return budget;
}

}  // namespace meltemi::tidy
