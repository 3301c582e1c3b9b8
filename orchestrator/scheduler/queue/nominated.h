// Pods for which room is being made, by node: others of lower priority count them in.
//
// Threads: thread-safe.
#pragma once

#include <atomic>
#include <mutex>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "orchestrator/scheduler/model/pod_info.h"

namespace meltemi::scheduler {

class Nominated {
 public:
  // By us, before any informer tells it. An empty node: not nominated any more.
  void Set(PodInfoPtr pod, absl::string_view node);
  // What an informer tells of a pod without a node, and whether the version before was nominated.
  // A version of before our own nomination, which had none either, takes nothing away.
  void Observe(bool was_nominated, PodInfoPtr pod);
  void Remove(absl::string_view uid);

  // Empty: it is not nominated.
  std::string NodeOf(absl::string_view uid) const;
  // Those nominated for the node, in the order in which they were.
  std::vector<PodInfoPtr> On(absl::string_view node) const;
  bool empty() const { return size_.load(std::memory_order_relaxed) == 0; }

 private:
  void Put(PodInfoPtr pod, absl::string_view node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Take(absl::string_view uid) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable std::mutex mutex_;
  absl::flat_hash_map<std::string, std::vector<PodInfoPtr>> by_node_ ABSL_GUARDED_BY(mutex_);
  absl::flat_hash_map<std::string, std::string> node_of_ ABSL_GUARDED_BY(mutex_);  // by uid
  std::atomic<size_t> size_{0};
};

}  // namespace meltemi::scheduler
