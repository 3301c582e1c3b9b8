// Traffic of pods through the machine, where a firewall forwards nothing by itself: Docker sets the
// policy of FORWARD to DROP.
//
// Threads: functions without state; they block.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "orchestrator/network/system.h"

namespace meltemi::network {

// Rules for what comes from these ranges or goes there, if the policy drops it and they are not
// there yet. A machine without iptables has no such policy.
absl::Status AcceptForwarding(System& system, const std::vector<std::string>& cidrs);
// Takes our rules away.
absl::Status StopForwarding(System& system);

}  // namespace meltemi::network
