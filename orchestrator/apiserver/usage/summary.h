// What a kubelet says that its node and pods use: the parts of its /stats/summary that
// metrics.k8s.io shows.
//
// Threads: plain value types. Source: k8s.io/kubelet/pkg/apis/stats/v1alpha1.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "kube/names/names.h"

namespace meltemi::apiserver {

struct Usage {
  int64_t cpu_nanocores = 0;
  int64_t memory_bytes = 0;  // the working set
};

struct ContainerUsage {
  std::string name;
  Usage usage;
};

struct PodUsage {
  std::string uid;
  std::string time;  // RFC 3339, when it was measured
  std::vector<ContainerUsage> containers;
};

struct NodeUsage {
  Usage node;
  std::string time;
  std::map<kube::NamespacedName, PodUsage> pods;
};

// Containers without figures (not measured yet) are left out, and pods with such containers.
absl::StatusOr<NodeUsage> ParseSummary(absl::string_view text);

}  // namespace meltemi::apiserver
