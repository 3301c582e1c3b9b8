// The scale of whatever an autoscaler names: by the scale subresource of the kind's resource, which
// is known or found by discovery.
//
// Threads: thread-safe; blocks.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock/clock.h"
#include "kube/autoscaling/v1/autoscaling.pb.h"
#include "kube/autoscaling/v2/autoscaling.pb.h"
#include "kube/client/client.h"
#include "kube/client/resource.h"
#include "kube/status/status.h"

namespace meltemi::controllers {

struct ScaleTarget {
  kube::ApiResource resource;
  kube::autoscaling::v1::Scale scale;
};

class Targets {
 public:
  // Both outlive it.
  Targets(kube::Client& client, const Clock& clock) : client_(client), clock_(clock) {}

  // Error: the API server's, or in Kubernetes' words why there can't be such a target.
  kube::Result<ScaleTarget> Get(
      absl::string_view ns, const kube::autoscaling::v2::CrossVersionObjectReference& reference);
  // With the resourceVersion that it was read with.
  kube::Outcome Scale(const ScaleTarget& target, int32_t replicas);

 private:
  kube::Result<std::vector<kube::ApiResource>> ResourcesOf(const std::string& group,
                                                           const std::string& kind);

  kube::Client& client_;
  const Clock& clock_;
  std::mutex mutex_;
  // Guarded by mutex_: what discovery has told, by group and kind, and how long it counts.
  struct Known {
    std::vector<kube::ApiResource> resources;
    MonotonicTime until;
  };
  std::map<std::pair<std::string, std::string>, Known> known_;
};

}  // namespace meltemi::controllers
