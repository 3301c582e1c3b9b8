// `meltemi-proxy intercept apply|remove|print`: writes the redirect rules of this network
// namespace.
//
// Blocks; called from main before anything else exists. Applying twice is applying once, removing
// leaves nothing, and both change a table in one transaction: at no moment are half of the rules
// there.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proxy/intercept/process.h"
#include "proxy/intercept/rules.h"

namespace meltemi::proxy {

enum class InterceptIpv6 : uint8_t { kAuto, kOn, kOff };  // auto: when the namespace has an address

struct InterceptCommand {
  enum class Verb : uint8_t { kApply, kRemove, kPrint } verb = Verb::kApply;
  InterceptOptions options;
  InterceptIpv6 ipv6 = InterceptIpv6::kAuto;
  bool dry_run = false;  // print what would be given to iptables-restore, change nothing
};

// `args` without "intercept" itself. Error: the usage, or what was wrong. For --help `*help` is
// filled.
absl::StatusOr<InterceptCommand> ParseInterceptCommand(const std::vector<std::string>& args,
                                                       std::string* help);

using ProcessRunner = std::function<absl::StatusOr<ProcessResult>(const std::vector<std::string>&,
                                                                  const std::string&)>;
// What is to be printed. Error: one sentence, with the command that mends it where there is one.
absl::StatusOr<std::string> RunIntercept(const InterceptCommand& command,
                                         const ProcessRunner& run = RunProcess);

// All of the command line: prints to stdout or stderr and returns the exit code.
int InterceptMain(const std::vector<std::string>& args);

}  // namespace meltemi::proxy
