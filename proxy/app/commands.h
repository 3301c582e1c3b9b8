// The commands that run beside a proxy in its own container, as hooks of the pod's lifecycle:
//
//   meltemi-proxy wait    until the proxy is ready (postStart: the application starts after it)
//   meltemi-proxy drain   clients are told to go elsewhere (preStop: the pod has begun to end)
#pragma once

#include <string>
#include <vector>

namespace meltemi::proxy {

bool IsPodCommand(const std::string& name);
// `args`: the command, then its options. Blocks. The exit code; says on stderr what went wrong.
int RunPodCommand(const std::vector<std::string>& args);

}  // namespace meltemi::proxy
