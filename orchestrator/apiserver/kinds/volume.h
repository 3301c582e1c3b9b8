// Persistent volumes and claims of them, as kinds.
//
// Threads: stateless. Source: pkg/apis/core and pkg/registry/core of Kubernetes 1.32.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

std::unique_ptr<const Strategy> ClaimStrategy();
std::unique_ptr<const TableColumns> ClaimColumns();
std::unique_ptr<const Strategy> VolumeStrategy();
std::unique_ptr<const TableColumns> VolumeColumns();

// Cells of both: the class by annotation or by field; "<unset>"; "8Gi", or "0" for none.
std::string StorageClassOf(const json::Value& object);
std::string TextOrUnset(const json::Value& object, absl::string_view key);
std::string QuantityText(const json::Value& quantity);

}  // namespace meltemi::apiserver
