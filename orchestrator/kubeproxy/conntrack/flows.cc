#include "orchestrator/kubeproxy/conntrack/flows.h"

#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/process/run_process.h"
#include "orchestrator/kubeproxy/conntrack/stale.h"

namespace meltemi::kubeproxy {
namespace {

// Forgotten in one go; the rest with the next change, or when they fall silent.
constexpr size_t kForgottenMax = 10'000;

class ProgramFlows final : public Flows {
 public:
  absl::Status Forget(const std::vector<ServiceChange>& changes) override {
    const Answering answering = AnsweringOf(changes);
    if (answering.empty()) return absl::OkStatus();
    ProcessOptions options;
    options.output_bytes_max = 64 * 1024 * 1024;  // a full table of 262,144 flows
    absl::StatusOr<ProcessResult> listed =
        RunProcess({"conntrack", "-L", "-f", "ipv4", "-p", "udp"}, "", options);
    if (!listed.ok()) return listed.status();
    if (listed->exit_code != 0) return absl::InternalError(listed->err);

    std::set<Flow> stale;
    for (absl::string_view line : absl::StrSplit(listed->out, '\n')) {
      const std::optional<Flow> flow = ParseFlow(line);
      if (flow && IsStale(*flow, answering)) stale.insert(*flow);
      if (stale.size() == kForgottenMax) break;
    }
    std::string commands;
    for (const Flow& flow : stale) {
      absl::StrAppend(&commands, "-D -f ipv4 -p udp --orig-dst ", IpText(flow.destination),
                      " --orig-port-dst ", flow.port, " --reply-src ", IpText(flow.answers), "\n");
    }
    // That one of them is gone by now is no error.
    if (commands.empty()) return absl::OkStatus();
    return RunProcess({"conntrack", "-R", "-"}, commands, options).status();
  }
};

}  // namespace

std::unique_ptr<Flows> NewFlows() { return std::make_unique<ProgramFlows>(); }

}  // namespace meltemi::kubeproxy
