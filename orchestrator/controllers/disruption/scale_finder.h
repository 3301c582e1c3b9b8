// How many pods the controllers of some pods want together.
//
// Threads: thread-safe; it blocks, for kinds that have no informer here. Source: the rules of
// Kubernetes' disruption controller.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/client/client.h"
#include "kube/core/v1/replication.pb.h"
#include "kube/discovery/discovery.h"
#include "kube/informer/informer.h"
#include "kube/meta/v1/meta.pb.h"
#include "kube/status/status.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {

class ScaleFinder final {
 public:
  explicit ScaleFinder(Context& context);

  struct Found {
    int64_t scale = 0;
    int unmanaged = 0;  // pods without a controller
  };
  // Error: in the words of conditions, when a controller is missing or has no scale.
  kube::Result<Found> ScaleOf(const std::vector<PodPtr>& pods);

 private:
  struct Owner {
    std::string uid;
    int64_t replicas = 0;
  };
  using Reference = kube::meta::v1::OwnerReference;

  std::optional<Owner> Known(const Reference& reference, const std::string& ns) const;
  // nullopt: there is no such owner.
  kube::Result<std::optional<Owner>> Asked(const Reference& reference, const std::string& ns);
  kube::Result<kube::ServedResource> ResourceOf(const Reference& reference);

  kube::Client& client_;
  const Clock& clock_;
  const kube::Lister<kube::apps::v1::Deployment> deployments_;
  const kube::Lister<kube::apps::v1::ReplicaSet> sets_;
  const kube::Lister<kube::apps::v1::StatefulSet> stateful_sets_;
  const kube::Lister<kube::core::v1::ReplicationController> replication_controllers_;

  std::mutex mutex_;
  // Guarded by mutex_.
  std::shared_ptr<const kube::ServedResources> served_;
  MonotonicTime served_at_;
};

}  // namespace meltemi::controllers
