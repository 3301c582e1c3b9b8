// Says of a pod, before it is deleted, that it is the target of a disruption and why: Jobs tell
// such ends from failures.
//
// Threads: a function without state; it blocks. Source: Kubernetes' pod disruption conditions.
#pragma once

#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/client/client.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/status/status.h"

namespace meltemi::controllers {

struct Disruption {
  absl::string_view reason;  // "DeletionByTaintManager"; empty: no condition is set
  absl::string_view message;
  // Nobody will tell how it has ended: it is Failed, unless it is finished.
  bool fails = false;
};

// Patches the status of the pod as it was seen: a conflict when it has changed since, so that what
// was decided by its look still holds. The answer is the pod as it is now.
kube::Result<kube::core::v1::Pod> MarkDisruption(kube::Client& client,
                                                 const kube::core::v1::Pod& seen,
                                                 const Disruption& disruption, WallTime now);

}  // namespace meltemi::controllers
