// Registers hollow nodes, renews their leases and writes their status.
//
// Threads: thread-safe, but for Start and destruction. Source: the kubelet's node status and lease.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/client/client.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "kube/queue/controller.h"
#include "orchestrator/kubelet/hollow/hollow.h"
#include "orchestrator/kubelet/hollow/node_object.h"
#include "orchestrator/kubelet/hollow/shared_random.h"

namespace meltemi::kubelet {

class HollowNodeKeeper {
 public:
  // All outlive it; `metrics` may be null. Adds a handler to `nodes`.
  HollowNodeKeeper(const HollowOptions& options, kube::Client& client, kube::Executor& executor,
                   kube::Informer& nodes, SharedRandom& random, metrics::Registry* metrics);

  void Start();
  void SetFrozen(int node, bool frozen);
  bool frozen(int node) const;
  size_t registered() const;

 private:
  enum class Stage : uint8_t { kNew, kRegistered, kGone };
  struct Entry {
    Stage stage = Stage::kNew;
    bool frozen = false;
    std::string uid;
    int64_t ready_since_s = 0;
    MonotonicTime status_due;
    // With the resourceVersion of the last write.
    std::unique_ptr<kube::coordination::v1::Lease> lease;
  };

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  kube::Outcome Register(int node);
  // Error NotFound: the node was deleted.
  kube::Outcome WriteStatus(int node, int64_t ready_since_s);
  kube::Outcome RenewLease(int node);
  void OnNode(const kube::Change& change);
  bool MarkGone(int node);

  const HollowOptions options_;
  kube::Client& client_;
  kube::Executor& executor_;
  SharedRandom& random_;

  mutable std::mutex mutex_;
  std::vector<Entry> entries_;  // guarded by mutex_

  std::unique_ptr<kube::Controller> controller_;
};

}  // namespace meltemi::kubelet
