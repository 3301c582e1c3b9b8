// Makes the victims of a preemption go: marks them, deletes them, tells of it; in the background.
//
// Threads: thread-safe.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kube/client/client.h"
#include "kube/events/recorder.h"
#include "orchestrator/scheduler/model/pod_info.h"
#include "orchestrator/scheduler/queue/gate.h"

namespace meltemi::scheduler {

class Preemptor {
 public:
  // All of it outlives the preemptor; `gate` is closed before it goes.
  Preemptor(kube::Client& client, kube::EventRecorder& recorder, Gate& gate);

  // `done`: the API server knows that all victims go, or something has failed.
  void Preempt(PodInfoPtr pod, std::vector<PodInfoPtr> victims, std::string node,
               std::function<void(bool ok)> done);

 private:
  bool Evict(const PodInfo& pod, const PodInfo& victim, const std::string& node);

  kube::Client& client_;
  kube::EventRecorder& recorder_;
  Gate& gate_;
  Lanes lanes_;
};

}  // namespace meltemi::scheduler
