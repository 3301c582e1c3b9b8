// metrics.k8s.io: NodeMetrics and PodMetrics, made of what kubelets say, as metrics-server makes
// them. Nothing is stored.
//
// Threads: thread-safe; Read blocks on kubelets.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/selector/selector.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/usage/kubelets.h"
#include "orchestrator/apiserver/watch/cache.h"

namespace meltemi::apiserver {

class MetricsApi {
 public:
  // All outlive it.
  MetricsApi(WatchCache& cache, Kubelets& kubelets, const Clock& clock)
      : cache_(cache), kubelets_(kubelets), clock_(clock) {}

  // Of "nodes" or "pods" of the group. `name` empty: all that match, in the order of their names;
  // those about which nothing is known are left out. NotFound: there is no such object, or nothing
  // is known about it.
  kube::Result<std::vector<ObjectPtr>> Read(const Resource& resource, absl::string_view ns,
                                            absl::string_view name,
                                            const kube::LabelSelector& labels,
                                            const kube::FieldSelector& fields);

 private:
  kube::Result<std::vector<ObjectPtr>> Nodes(const Resource& resource,
                                             const std::vector<ObjectPtr>& nodes);
  kube::Result<std::vector<ObjectPtr>> Pods(const Resource& resource,
                                            const std::vector<ObjectPtr>& pods);
  std::string Now() const;

  WatchCache& cache_;
  Kubelets& kubelets_;
  const Clock& clock_;
};

}  // namespace meltemi::apiserver
