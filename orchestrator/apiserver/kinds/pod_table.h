// Columns of Pods, and the one word that tells a pod's state.
//
// Threads: functions without state. Source: pkg/printers/internalversion of Kubernetes 1.32.
#pragma once

#include <memory>

#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

std::unique_ptr<const TableColumns> PodColumns();

}  // namespace meltemi::apiserver
