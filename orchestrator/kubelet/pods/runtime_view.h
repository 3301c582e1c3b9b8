// What the runtime has of all pods of the node, as it was last read: all of it every second, and
// one pod's right after something was done for it. Only of containers that have changed the details
// are asked for.
//
// Threads: thread-safe; reading blocks on the runtime. Source: pkg/kubelet/pleg.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/pods/pod_state.h"

namespace meltemi::kubelet {

using PodStatePtr = std::shared_ptr<const PodState>;

class RuntimeView {
 public:
  // Both outlive it.
  RuntimeView(Runtime& runtime, const Clock& clock) : runtime_(runtime), clock_(clock) {}

  // Reads all; appends the pods (their UIDs) that are not as they were. Where it fails, all stays
  // as it was. One at a time.
  absl::Status Relist(std::vector<std::string>* changed);
  // Reads one pod.
  absl::StatusOr<PodStatePtr> Refresh(const std::string& uid);
  // As it was last read; empty where there is nothing. Never null.
  PodStatePtr Get(const std::string& uid) const;
  // Of pods that the runtime has something of.
  std::vector<std::string> Uids() const;
  // When all was read for the last time.
  std::optional<MonotonicTime> read_at() const;

 private:
  struct Lists {
    std::vector<cri::PodSandbox> sandboxes;
    std::vector<cri::Container> containers;
  };
  // Of one pod, as the lists tell it.
  struct Listed {
    std::vector<const cri::PodSandbox*> sandboxes;
    std::vector<const cri::Container*> containers;
  };
  struct Entry {
    PodStatePtr state = std::make_shared<const PodState>();  // never null
    std::set<std::string> asked;  // ready sandboxes whose addresses are known
    uint64_t read = 0;            // by which reading
  };

  uint64_t BeginReading();
  absl::StatusOr<Lists> List(const std::string& uid);
  static std::map<std::string, Listed> ByPod(const Lists& lists);
  absl::StatusOr<Entry> Build(const std::string& uid, const Listed& listed, const Entry& before);
  absl::Status AddSandbox(const cri::PodSandbox& listed, const Entry& before, PodState* pod,
                          Entry* out);
  absl::Status AddContainer(const cri::Container& listed, const Entry& before, PodState* pod);
  Entry EntryOf(const std::string& uid) const;
  // False: a later reading has been faster, or nothing has changed.
  bool Put(const std::string& uid, Entry entry, uint64_t reading);

  Runtime& runtime_;
  const Clock& clock_;

  mutable std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, Entry> entries_;
  uint64_t readings_ = 0;
  std::optional<MonotonicTime> read_at_;
};

}  // namespace meltemi::kubelet
