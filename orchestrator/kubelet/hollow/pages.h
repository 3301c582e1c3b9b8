// What a node's HTTPS port tells: the kubelet's summary, its metrics, its pods.
//
// Threads: functions without state. Source: k8s.io/kubelet/pkg/apis/stats/v1alpha1; the metrics
// that the kubelet's /metrics/resource has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "orchestrator/kubelet/hollow/pod_keeper.h"

namespace meltemi::kubelet {

struct NodeStatistics {
  std::string name;
  WallTime now;
  int64_t start_time_s = 0;
  int64_t memory_capacity_bytes = 0;
  std::vector<PodUse> pods;
};

std::string SummaryJson(const NodeStatistics& node);
std::string ResourceMetrics(const NodeStatistics& node);
std::string PodListJson(const NodeStatistics& node);

}  // namespace meltemi::kubelet
