// meltemi: the user's tool. See README.md.
#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/flags/flags.h"
#include "cli/verbs.h"

namespace meltemi::cli {

std::vector<Verb> AllVerbs() {
  return {UpVerb(),      DownVerb(),        StatusVerb(),     JoinVerb(),
          ImagesVerb(),  InstallVerb(),     UninstallVerb(),  InjectVerb(),
          AnalyzeVerb(), ProxyStatusVerb(), ProxyConfigVerb()};
}

void PrintError(const std::string& text) { std::fprintf(stderr, "meltemi: %s\n", text.c_str()); }

namespace {

void PrintHelp() {
  std::printf("usage: meltemi VERB [ARGUMENTS]\n\n");
  for (const Verb& verb : AllVerbs()) {
    std::printf("  %-14s %s\n", verb.name, verb.summary);
  }
  std::printf("  %-14s %s\n\n`meltemi help VERB` says more about a verb.\n", "help", "this text");
}

std::string Usage(const Verb& verb) {
  return absl::StrCat("meltemi ", verb.name, " ", verb.arguments, " [OPTIONS]\n\n", verb.summary,
                      ".\n\n", verb.details);
}

int Run(const Verb& verb, const std::vector<std::string>& words) {
  Flags flags(Usage(verb));
  const auto run = verb.prepare(flags);
  std::vector<std::string> rest;
  if (const absl::Status status = flags.Parse(words, &rest); !status.ok()) {
    PrintError(absl::StrCat(verb.name, ": ", status.message(), "; see meltemi help ", verb.name));
    return 2;
  }
  if (flags.help_wanted()) {
    std::fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  return run(rest);
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
    return Run(verb, help ? std::vector<std::string>{"--help"} : words);
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
