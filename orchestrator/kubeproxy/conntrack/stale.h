// Which of the kernel's flows are stale, as text in and out of the `conntrack` program.
//
// Threads: functions without state.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "orchestrator/kubeproxy/model/rules.h"

namespace meltemi::kubeproxy {

// A flow as it began: where to; and who answers.
struct Flow {
  Ipv4 destination = 0;
  uint16_t port = 0;
  Ipv4 answers = 0;

  auto operator<=>(const Flow&) const = default;
};

// A line of `conntrack -L -p udp`; nullopt: it is something else.
std::optional<Flow> ParseFlow(absl::string_view line);

// Who may answer at an address and port; address 0: at this port of the node.
using Answering = std::map<std::pair<Ipv4, uint16_t>, std::set<Ipv4>>;
Answering AnsweringOf(const std::vector<ServiceChange>& changes);

bool IsStale(const Flow& flow, const Answering& answering);

}  // namespace meltemi::kubeproxy
