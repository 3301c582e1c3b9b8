// `meltemi-orchestrator kube-proxy`.
//
// Threads: main's.
#pragma once

#include <string>
#include <vector>

namespace meltemi::orchestrator {

// The process's exit code. `argv`: all that the program was called with.
int KubeProxyMain(const std::vector<std::string>& args, const std::vector<std::string>& argv);

}  // namespace meltemi::orchestrator
