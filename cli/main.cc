// meltemi: the user's tool. See README.md.
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "cli/args.h"
#include "cli/verbs.h"

namespace meltemi::cli {

std::vector<Verb> AllVerbs() { return {AnalyzeVerb(), ProxyStatusVerb(), ProxyConfigVerb()}; }

void PrintError(const std::string& text) { std::fprintf(stderr, "meltemi: %s\n", text.c_str()); }

namespace {

void PrintHelp() {
  std::printf("usage: meltemi VERB [ARGUMENTS]\n\n");
  for (const Verb& verb : AllVerbs()) {
    std::printf("  %-14s %s\n", verb.name, verb.summary);
  }
  std::printf("  %-14s %s\n\n`meltemi help VERB` says more about a verb.\n", "help", "this text");
}

void PrintHelp(const Verb& verb) {
  std::printf("usage: meltemi %s %s [OPTIONS]\n\n%s.\n\n%s\n\n%s", verb.name, verb.arguments,
              verb.summary, verb.details, OptionsHelp(verb.options).c_str());
}

bool WantsHelp(const std::vector<std::string>& words) {
  return std::any_of(words.begin(), words.end(),
                     [](const std::string& word) { return word == "--help" || word == "-h"; });
}

int Run(const Verb& verb, const std::vector<std::string>& words) {
  if (WantsHelp(words)) {
    PrintHelp(verb);
    return 0;
  }
  const absl::StatusOr<Args> args = Args::Parse(words, verb.options);
  if (!args.ok()) {
    PrintError(
        absl::StrCat(verb.name, ": ", args.status().message(), "; see meltemi help ", verb.name));
    return 2;
  }
  return verb.run(*args);
}

int Main(std::vector<std::string> words) {
  if (words.empty()) {
    PrintHelp();
    return 2;
  }
  const std::string name = words[0];
  words.erase(words.begin());
  const bool help = name == "help" || name == "help-cli" || name == "--help" || name == "-h";
  const std::string wanted = help && !words.empty() ? words[0] : name;
  for (const Verb& verb : AllVerbs()) {
    if (wanted != verb.name) continue;
    if (!help) return Run(verb, words);
    PrintHelp(verb);
    return 0;
  }
  if (help && words.empty()) {
    PrintHelp();
    return 0;
  }
  PrintError(absl::StrCat("no verb \"", wanted, "\"; see meltemi help"));
  return 2;
}

}  // namespace
}  // namespace meltemi::cli

int main(int argc, char** argv) {
  return meltemi::cli::Main(std::vector<std::string>(argv + 1, argv + argc));
}
