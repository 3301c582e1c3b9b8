// The tutorial's world on this machine: namespaces as pods, manifests in a watched folder, sidecars
// of ours or Envoys.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "test/machine/mesh.h"
#include "test/scenarios/world.h"

namespace meltemi::scenarios {

// Starts all of it; `say` gets a line of progress.
absl::StatusOr<std::unique_ptr<World>> StartMachineWorld(
    const machine::Programs& programs, const std::string& folder, machine::PodSpec::Sidecar sidecar,
    std::function<void(const std::string&)> say);

}  // namespace meltemi::scenarios
