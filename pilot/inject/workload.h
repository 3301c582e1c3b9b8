// What a pod belongs to: names for metrics, traces and the control plane.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "pilot/inject/annotations.h"

namespace meltemi::pilot {

struct WorkloadMeta {
  std::string api_version = "v1", kind = "Pod";
  std::string name;  // may be empty: a pod that has no name yet and no owner
};

// By the controller in ownerReferences; a ReplicaSet of a Deployment counts as the Deployment, a
// Job of a CronJob as the CronJob, as their names tell.
WorkloadMeta WorkloadOfPod(const json::Value& metadata);

// "kubernetes://apis/apps/v1/namespaces/default/deployments/flaskapp"
std::string OwnerUri(const WorkloadMeta& workload, absl::string_view ns);

// The label service.istio.io/canonical-name, or what stands for it.
std::string CanonicalName(const TextMap& labels, const WorkloadMeta& workload);
std::string CanonicalRevision(const TextMap& labels);

}  // namespace meltemi::pilot
