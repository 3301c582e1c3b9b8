// All controllers: their names, the service accounts they act as, and how they are made.
//
// Threads: functions without state.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "orchestrator/app/controller_manager_options.h"
#include "orchestrator/controllers/runtime/context.h"

namespace meltemi::orchestrator {

struct ControllerEntry {
  const char* name;       // as in --controllers, and in Kubernetes: "deployment-controller"
  const char* account;    // in kube-system
  const char* component;  // the source of its events
  // Null: with these options it has nothing to do. Error: which option is wrong, and why.
  std::function<absl::StatusOr<std::unique_ptr<controllers::Running>>(
      controllers::Context& context, const ControllerManagerOptions& options,
      const std::string& root_ca_pem)>
      make;
};

// In the order in which they are made.
const std::vector<ControllerEntry>& AllControllers();

// Those that --controllers asks for. Error: a name that there is not, with all there are.
absl::StatusOr<std::vector<const ControllerEntry*>> ChosenControllers(
    const std::vector<std::string>& wanted);

}  // namespace meltemi::orchestrator
