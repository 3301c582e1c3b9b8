// Nodes.
//
// Threads: stateless. Source: pkg/registry/core/node and pkg/apis/core of Kubernetes 1.32.
#pragma once

#include <memory>

#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

std::unique_ptr<const Strategy> NodeStrategy();
std::unique_ptr<const TableColumns> NodeColumns();

}  // namespace meltemi::apiserver
