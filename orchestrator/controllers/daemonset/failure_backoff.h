// How long failed pods of a DaemonSet are kept on a node before they are replaced: a kubelet that
// refuses a pod would refuse the next one as fast as it is made.
//
// Threads: thread-safe.
#pragma once

#include <algorithm>
#include <map>
#include <mutex>
#include <string>

#include "base/clock/clock.h"
#include "kube/names/names.h"

namespace meltemi::controllers::daemonsets {

class FailureBackoff final {
 public:
  static constexpr Duration kMin = seconds(1);
  static constexpr Duration kMax = minutes(15);

  // Zero: at once. `generation`: of the set, since another template may fare better.
  Duration Remaining(const kube::NamespacedName& set, int64_t generation, const std::string& node,
                     MonotonicTime now) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto of_set = sets_.find(set);
    if (of_set == sets_.end()) return Duration::zero();
    const auto entry = of_set->second.find(node);
    if (entry == of_set->second.end() || entry->second.generation != generation) {
      return Duration::zero();
    }
    return std::max(Duration::zero(), entry->second.since + entry->second.delay - now);
  }

  // A failed pod is being replaced: the next one waits longer, unless it lasted long.
  void Failed(const kube::NamespacedName& set, int64_t generation, const std::string& node,
              MonotonicTime now) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Entry& entry = sets_[set][node];
    const bool afresh = entry.generation != generation || entry.delay == Duration::zero() ||
                        now - entry.since > 2 * kMax;
    entry.delay = afresh ? kMin : std::min(kMax, 2 * entry.delay);
    entry.generation = generation;
    entry.since = now;
  }

  void Drop(const kube::NamespacedName& set) {
    const std::lock_guard<std::mutex> lock(mutex_);
    sets_.erase(set);
  }
  void DropNode(const std::string& node) {
    const std::lock_guard<std::mutex> lock(mutex_);
    for (auto& [set, nodes] : sets_) nodes.erase(node);
  }

 private:
  struct Entry {
    int64_t generation = 0;
    Duration delay = Duration::zero();
    MonotonicTime since;
  };

  std::mutex mutex_;
  std::map<kube::NamespacedName, std::map<std::string, Entry>> sets_;
};

}  // namespace meltemi::controllers::daemonsets
