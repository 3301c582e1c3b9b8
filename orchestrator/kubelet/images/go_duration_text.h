// Durations as Go prints them: "0s", "834ms", "1.2s", "1m0.5s", "1h0m0s". Events of Kubernetes have
// them so.
//
// Threads: a pure function.
#pragma once

#include <string>

#include "base/clock/clock.h"

namespace meltemi::kubelet {

// Cut to milliseconds.
std::string GoDurationText(Duration d);

}  // namespace meltemi::kubelet
