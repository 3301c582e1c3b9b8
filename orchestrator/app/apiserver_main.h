// `meltemi-orchestrator apiserver`: options in, exit code out.
#pragma once

#include <string>
#include <vector>

namespace meltemi::orchestrator {

// Runs until SIGTERM or SIGINT. 0: ended in order; 1: could not start; 2: wrong options.
int ApiServerMain(const std::vector<std::string>& args, const std::vector<std::string>& argv);

}  // namespace meltemi::orchestrator
