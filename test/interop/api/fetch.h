// The official files, brought here by fetch.sh.
#pragma once

#include <string>
#include <vector>

namespace meltemi::interop {

struct Fetched {
  std::vector<std::string> folders;
  std::string reason;  // why there are none
};

// "xds", "istio" or "kube".
Fetched Fetch(const std::string& what);

}  // namespace meltemi::interop
