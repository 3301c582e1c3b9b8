// What keeps pods running: Deployments, ReplicaSets, DaemonSets, StatefulSets (apps/v1) and
// ReplicationControllers.
//
// Threads: stateless. Source: pkg/apis/apps and pkg/registry/apps of Kubernetes 1.32.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "kube/status/field_error.h"
#include "orchestrator/apiserver/kinds/strategy.h"

namespace meltemi::apiserver {

std::unique_ptr<const Strategy> DeploymentStrategy();
std::unique_ptr<const Strategy> ReplicaSetStrategy();
std::unique_ptr<const Strategy> DaemonSetStrategy();
std::unique_ptr<const Strategy> StatefulSetStrategy();
std::unique_ptr<const Strategy> ReplicationControllerStrategy();
std::unique_ptr<const Strategy> ControllerRevisionStrategy();

// workload_tables.cc
std::unique_ptr<const TableColumns> DeploymentColumns();
std::unique_ptr<const TableColumns> ReplicaSetColumns();
std::unique_ptr<const TableColumns> DaemonSetColumns();
std::unique_ptr<const TableColumns> StatefulSetColumns();
std::unique_ptr<const TableColumns> ReplicationControllerColumns();
std::unique_ptr<const TableColumns> ControllerRevisionColumns();
std::unique_ptr<const TableColumns> PodTemplateColumns();

// 3 or "25%": not negative, well-formed, at most 100%.
void ValidateIntOrPercent(const json::Value& value, const kube::FieldPath& path,
                          kube::FieldErrors& errors);
// The number, or the percentage without its sign.
int64_t IntOrPercentValue(const json::Value& value);
// intstr.IntOrString{Type:0, IntVal:3, StrVal:""}
std::string GoIntOrString(const json::Value& value);

// `selector` matches the template's labels, the template is valid, and its pods restart always.
// `what`: "ReplicaSet", as a message names the owner.
void ValidateOwnedTemplate(const json::Value& spec, absl::string_view what,
                           const kube::FieldPath& path, kube::FieldErrors& errors);
// spec.selector: there and not empty ("empty selector is invalid for deployment").
void ValidateOwnSelector(const json::Value& spec, absl::string_view what,
                         const kube::FieldPath& path, kube::FieldErrors& errors);
// Counters of a status are not negative, and none is above the first of them.
void ValidateReplicaCounts(const json::Value& status, std::initializer_list<absl::string_view> keys,
                           kube::FieldErrors& errors);

}  // namespace meltemi::apiserver
