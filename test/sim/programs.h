// What runs in the simulated processes: the product's own parts, put together as its programs do.
//
// Threads: one.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "base/metrics/metrics.h"
#include "orchestrator/controllers/runtime/context.h"
#include "test/sim/process.h"
#include "test/sim/users.h"

namespace meltemi::kubelet {
class HollowNodes;
}  // namespace meltemi::kubelet

namespace meltemi::sim {

struct ControllerEntry {
  const char* account;  // "replicaset-controller"
  std::function<std::unique_ptr<controllers::Running>(controllers::Context&)> make;
};
// One line for each.
std::vector<ControllerEntry> Controllers();
// What there are controllers for.
Abilities AllAbilities();

// One of several controller-managers, of which one leads.
std::unique_ptr<Program> NewManager(Process& process, bool record_events);
std::unique_ptr<Program> NewSchedulerProgram(Process& process);

class HollowProgram : public Program {
 public:
  virtual kubelet::HollowNodes& nodes() = 0;
};
std::unique_ptr<Program> NewHollowProgram(Process& process, int nodes);

// Up to where the scheduler's informer has seen nodes; 0: not at all.
int64_t NodesRevisionOf(const Program& scheduler);

}  // namespace meltemi::sim
