// Endpoints and ServiceAccounts.
//
// Threads: stateless.
#pragma once

#include <memory>

#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

std::unique_ptr<const Strategy> EndpointsStrategy();
std::unique_ptr<const TableColumns> EndpointsColumns();
std::unique_ptr<const TableColumns> ServiceAccountColumns();

}  // namespace meltemi::apiserver
