// Runs the pods of hollow nodes: follows them with one informer, steps their state machines when
// something is due, and writes what a kubelet would write.
//
// Threads: thread-safe, but for Start and destruction.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "kube/client/client.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/events/recorder.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "kube/queue/controller.h"
#include "orchestrator/kubelet/admission/admission.h"
#include "orchestrator/kubelet/hollow/hollow.h"
#include "orchestrator/kubelet/hollow/node_object.h"
#include "orchestrator/kubelet/hollow/pod_run.h"
#include "orchestrator/kubelet/hollow/shared_random.h"

namespace meltemi::kubelet {

// One pod's use, for statistics.
struct PodUse {
  std::shared_ptr<const kube::core::v1::Pod> pod;
  int64_t start_time_s = 0;
  bool running = false;
  // Of all its containers together.
  int64_t cpu_milli = 0;
  int64_t cpu_nanos_total = 0;  // core nanoseconds since it started; never falls
  int64_t memory_bytes = 0;
};

class PodKeeper {
 public:
  struct Parts {
    kube::Client& client;
    kube::Executor& executor;
    kube::Informers& informers;  // its own: what pods show is cut down to what it needs
    kube::EventRecorder& recorder;
    SharedRandom& random;
    metrics::Registry* metrics;  // may be null
    // Whether the node does nothing at the moment.
    std::function<bool(int node)> frozen;
  };
  // All outlive it.
  PodKeeper(const HollowOptions& options, Parts parts);

  void Start();
  // Looks at all of a node's pods again.
  void Resync(int node);
  void SetCpuMilli(const kube::NamespacedName& key, int64_t cpu_milli);
  size_t running() const;
  // What the pods of a node use; sorted by namespace and name.
  std::vector<PodUse> UseOf(int node);

 private:
  struct Entry {
    PodRun run;
    scheduler::Resources request;
    std::vector<scheduler::HostPort> ports;
    std::string owner;      // uid of the controller; empty: none
    bool counted = false;   // in owners_ and running_
    bool admitted = false;  // in uses_
    bool dirty = false;     // the status has not been written
    bool deleted = false;   // the API server has been told that it is gone
    int64_t written_revision = 0;
    int64_t cpu_nanos_total = 0;
    MonotonicTime cpu_counted_at;
  };
  // What is to be done for a pod, outside of the lock.
  struct Plan {
    std::string patch;  // empty: nothing to write
    bool remove = false;
    std::string event_reason, event_message;  // empty: none
    std::optional<Duration> next;
  };
  struct NodeState {
    NodeUse use;
    std::vector<bool> slots;  // of its addresses
    int next_slot = 0;
  };

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key);
  Plan MakePlan(const kube::NamespacedName& key,
                const std::shared_ptr<const kube::core::v1::Pod>& pod, int node);
  Entry& EntryOf(const kube::NamespacedName& key,
                 const std::shared_ptr<const kube::core::v1::Pod>& pod, int node, Plan* plan);
  void Admit(const std::shared_ptr<const kube::core::v1::Pod>& pod, Entry* entry, Plan* plan);
  void TakeAddress(const kube::core::v1::Pod& pod, Entry* entry);
  void Release(Entry* entry);
  void Forget(const kube::NamespacedName& key);
  void Count(Entry* entry);
  void Trim(kube::core::v1::Pod& pod);
  int64_t CpuMilli(const kube::core::v1::Pod& pod, const Entry& entry) const;
  kube::Outcome Write(const kube::NamespacedName& key, const Plan& plan, const std::string& uid);

  const HollowOptions options_;
  const PodTiming timing_;
  const PodAddressPlan addresses_;
  // All nodes can do the same, whatever their objects say.
  const std::shared_ptr<const scheduler::NodeFacts> facts_;
  Parts parts_;
  kube::Lister<kube::core::v1::Pod> pods_;
  kube::Lister<kube::core::v1::Node> node_objects_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  absl::flat_hash_map<std::string, std::unique_ptr<Entry>> entries_;  // by "ns/name"
  absl::flat_hash_map<std::string, int> owners_;  // running pods by their controller
  absl::flat_hash_map<std::string, int64_t> cpu_overrides_;
  std::vector<NodeState> nodes_;
  size_t running_ = 0;

  std::unique_ptr<kube::Controller> controller_;
};

}  // namespace meltemi::kubelet
