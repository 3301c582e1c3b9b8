// Ingresses and IngressClasses.
//
// Threads: stateless.
#pragma once

#include <memory>

#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

std::unique_ptr<const Strategy> IngressStrategy();
std::unique_ptr<const TableColumns> IngressColumns();
std::unique_ptr<const Strategy> IngressClassStrategy();
std::unique_ptr<const TableColumns> IngressClassColumns();

}  // namespace meltemi::apiserver
