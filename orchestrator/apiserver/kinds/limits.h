// LimitRanges, ResourceQuotas and PodTemplates.
//
// Threads: stateless. Source: pkg/apis/core/validation of Kubernetes 1.32.
#pragma once

#include <memory>

#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

std::unique_ptr<const Strategy> LimitRangeStrategy();
std::unique_ptr<const Strategy> ResourceQuotaStrategy();
std::unique_ptr<const TableColumns> ResourceQuotaColumns();
std::unique_ptr<const Strategy> PodTemplateStrategy();

}  // namespace meltemi::apiserver
