// additionalPrinterColumns: the Table of a custom resource.
//
// Threads: immutable.
#pragma once

#include <memory>

#include "base/json/value.h"
#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

// `columns` as in a version of a CustomResourceDefinition; empty or null: Name and Age. Columns
// whose JSONPath is wrong are left out, and with them the ones after it, as in Kubernetes.
std::unique_ptr<const TableColumns> NewCustomColumns(const json::Value* columns);

}  // namespace meltemi::apiserver
