// ConfigMaps and Secrets.
//
// Threads: stateless.
#pragma once

#include <memory>

#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

std::unique_ptr<const Strategy> ConfigMapStrategy();
std::unique_ptr<const TableColumns> ConfigMapColumns();
std::unique_ptr<const Strategy> SecretStrategy();
std::unique_ptr<const TableColumns> SecretColumns();

}  // namespace meltemi::apiserver
