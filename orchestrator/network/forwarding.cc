#include "orchestrator/network/forwarding.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace meltemi::network {
namespace {

constexpr char kOurs[] = " -m comment --comment meltemi -j ACCEPT";

absl::StatusOr<std::string> Rules(System& system) {
  return system.Run({"iptables", "-w", "-S", "FORWARD"});
}

// `rule` as `iptables -S` prints it, without its first word.
absl::Status Change(System& system, const char* how, absl::string_view rule) {
  std::vector<std::string> argv = {"iptables", "-w", how};
  for (const absl::string_view word : absl::StrSplit(rule, ' ')) argv.emplace_back(word);
  return system.Run(argv).status();
}

}  // namespace

absl::Status AcceptForwarding(System& system, const std::vector<std::string>& cidrs) {
  const absl::StatusOr<std::string> rules = Rules(system);
  if (!rules.ok() || !absl::StartsWith(*rules, "-P FORWARD DROP")) return absl::OkStatus();
  for (const std::string& cidr : cidrs) {
    for (const char* side : {"-s", "-d"}) {
      const std::string rule = absl::StrCat("FORWARD ", side, " ", cidr, kOurs);
      if (absl::StrContains(*rules, rule)) continue;
      // The first: whatever drops comes later.
      if (absl::Status status = Change(system, "-I", rule); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::Status StopForwarding(System& system) {
  const absl::StatusOr<std::string> rules = Rules(system);
  if (!rules.ok()) return absl::OkStatus();
  absl::Status status;
  for (absl::string_view line : absl::StrSplit(*rules, '\n')) {
    if (!absl::EndsWith(line, kOurs) || !absl::ConsumePrefix(&line, "-A ")) continue;
    status.Update(Change(system, "-D", line));
  }
  return status;
}

}  // namespace meltemi::network
