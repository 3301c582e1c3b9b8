// The scheduling rules of volumes: VolumeRestrictions, VolumeBinding, VolumeZone. A pod without
// claims is left out by each of them after one look.
//
// Threads: a function without state; plugins are immutable.
#pragma once

#include <memory>
#include <vector>

#include "orchestrator/scheduler/plugins/plugins.h"
#include "orchestrator/scheduler/volumes/claim_book.h"

namespace meltemi::scheduler {

// Adds them where kube-scheduler asks them, after NodeResourcesFit. `book` outlives the plugins.
void AddVolumeRules(const ClaimBook& book, std::vector<WeightedPlugin>* plugins);

}  // namespace meltemi::scheduler
