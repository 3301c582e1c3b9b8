// Credentials for registries, out of the secrets that a pod names for pulling.
//
// Threads: pure functions. Source: the formats of .dockerconfigjson and .dockercfg;
// pkg/credentialprovider (which of them fit an image).
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "orchestrator/kubelet/cri/runtime.h"

namespace meltemi::kubelet {

// Those of `config` (JSON) that fit the image, the most special registry first. `legacy`: it is a
// .dockercfg. What can't be read has none.
std::vector<PullAuth> PullAuthsOf(absl::string_view config, bool legacy, const std::string& image);

}  // namespace meltemi::kubelet
