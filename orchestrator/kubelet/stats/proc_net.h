// Counters of network interfaces, as /proc/PID/net/dev has them.
//
// Threads: functions without state.
#pragma once

#include <vector>

#include "absl/strings/string_view.h"
#include "orchestrator/kubelet/stats/sample.h"

namespace meltemi::kubelet {

// All but loopback and those that lead to pods (veth…). At most 64.
std::vector<InterfaceSample> ParseNetDev(absl::string_view text);

}  // namespace meltemi::kubelet
