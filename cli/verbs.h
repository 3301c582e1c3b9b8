// The verbs of the `meltemi` tool. Each returns the program's exit code: 0 well, 1 something is
// wrong with what was looked at, 2 the call itself was wrong.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/flags/flags.h"

namespace meltemi::cli {

struct Verb {
  const char* name;
  const char* arguments;  // "[PATH…]"
  const char* summary;
  const char* details;  // for `help VERB`
  // Adds the verb's options to `flags`; their targets belong to the function that is returned,
  // which does the work once they are parsed, with the arguments that are no options.
  std::function<int(const std::vector<std::string>& rest)> (*prepare)(Flags& flags);
};

std::vector<Verb> AllVerbs();

Verb UpVerb();
Verb DownVerb();
Verb StatusVerb();
Verb JoinVerb();
Verb AnalyzeVerb();
Verb ProxyStatusVerb();
Verb ProxyConfigVerb();
Verb ImagesVerb();
Verb InstallVerb();
Verb UninstallVerb();
Verb InjectVerb();

inline constexpr char kDefaultPilot[] = "127.0.0.1:15014";

// Prints "meltemi: TEXT" to stderr.
void PrintError(const std::string& text);

}  // namespace meltemi::cli
