// Writes what is known of pods to the API server: only what has changed, the newest only, and never
// in the way of who starts containers. Deletes an object once it is written that all has ended.
//
// Threads: thread-safe; writes on the executor's threads. Source: pkg/kubelet/status.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "base/metrics/metrics.h"
#include "kube/client/client.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/executor/executor.h"
#include "kube/queue/controller.h"

namespace meltemi::kubelet {

class StatusWriter {
 public:
  // All outlive it; `metrics` may be null.
  StatusWriter(kube::Client& client, kube::Executor& executor, metrics::Registry* metrics);

  void Start() { controller_->Start(); }
  // `object`: as the API server has it, as far as is known. `remove`: it may go once the status is
  // written. `delay`: something better may come soon.
  void Want(const std::shared_ptr<const kube::core::v1::Pod>& object,
            const kube::core::v1::PodStatus& status, bool remove, Duration delay);
  // The object has changed, by whomever: what is wanted still counts.
  void Look(const std::shared_ptr<const kube::core::v1::Pod>& object);
  // The object is gone.
  void Forget(const std::string& uid);

 private:
  using PodPtr = std::shared_ptr<const kube::core::v1::Pod>;
  struct Entry {
    PodPtr object;  // the newest that is known
    kube::core::v1::PodStatus wanted;
    bool has_wanted = false, remove = false;
  };

  kube::ReconcileResult Write(const std::string& uid);
  // The object as it is now; null: it is gone, or another one has its name.
  kube::Result<PodPtr> Patch(const Entry& entry, const std::string& patch);
  kube::Outcome Delete(const Entry& entry);

  kube::Client& client_;
  std::mutex mutex_;
  std::map<std::string, Entry> entries_;  // by UID; guarded by mutex_
  std::unique_ptr<kube::Controller> controller_;
};

// Later writes have larger ones; 0 where it is none of ours.
int64_t RevisionOf(const kube::core::v1::Pod& pod);

}  // namespace meltemi::kubelet
