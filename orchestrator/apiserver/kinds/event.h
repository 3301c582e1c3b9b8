// Events: one kind under two groups, whose members have different names. They are kept as the core
// group shows them.
//
// Threads: stateless. Source: pkg/apis/core/validation/events.go of Kubernetes 1.32.
#pragma once

#include <memory>

#include "base/json/value.h"
#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

std::unique_ptr<const Strategy> EventStrategy();
std::unique_ptr<const TableColumns> EventColumns();

// From events.k8s.io/v1 to v1 and back, in place.
void EventToCore(json::Value& object);
void EventFromCore(json::Value& object);

}  // namespace meltemi::apiserver
