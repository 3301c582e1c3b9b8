// A cluster in memory with a scheduler: what its stories are told on.
//
// Threads: one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kube/core/v1/pod.pb.h"
#include "orchestrator/controllers/runtime/testing/world.h"
#include "orchestrator/scheduler/scheduler.h"

namespace meltemi::scheduler {

class SchedulerWorld {
 public:
  explicit SchedulerWorld(SchedulerOptions options = {},
                          std::optional<uint64_t> executor_seed = std::nullopt);

  controllers::World& world() { return world_; }
  metrics::Registry& metrics() { return metrics_; }
  size_t pending() const;

  // Begins to schedule.
  void Run();
  // Ends the scheduler as kill -9 does, and starts a new one.
  void Restart();

  // Members of status.allocatable ("cpu: 2"; without: 4 CPUs, 8Gi, 110 pods), of metadata.labels
  // and of spec, in YAML's flow style without braces.
  void Node(const std::string& name, const std::string& allocatable = "",
            const std::string& labels = "", const std::string& spec = "");
  // One container that asks for `requests` ("cpu: 1"); members of spec and of metadata.labels.
  void Pod(const std::string& name, const std::string& requests = "", const std::string& spec = "",
           const std::string& labels = "", int host_port = 0);
  void PriorityClass(const std::string& name, int value, bool never_preempts = false);
  void Settle() { world_.Settle(); }
  void Advance(Duration by) { world_.Advance(by); }

  // "a=node-1 b= c=node-2": who is where, sorted by name.
  std::string Where();
  kube::core::v1::Pod Get(const std::string& name) { return world_.Get<kube::core::v1::Pod>(name); }
  // "Unschedulable: 0/1 …" of the condition PodScheduled; "True" for one that is.
  std::string Condition(const std::string& pod);
  std::vector<std::string> Events() { return world_.Events(); }

 private:
  class Runner;

  const SchedulerOptions options_;
  metrics::Registry metrics_;
  controllers::World world_;
  const Scheduler* scheduler_ = nullptr;
};

}  // namespace meltemi::scheduler
