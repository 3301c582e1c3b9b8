// Endpoints that somebody has written by hand, as EndpointSlices. Pure functions.
//
// Threads: functions without state. Source: the rules of Kubernetes' endpointslicemirroring
// reconciler.
#pragma once

#include <vector>

#include "kube/core/v1/service.pb.h"
#include "orchestrator/controllers/endpoints/slices.h"

namespace meltemi::controllers {

inline constexpr char kMirroredBy[] = "endpointslicemirroring-controller.k8s.io";
inline constexpr char kSkipMirrorLabel[] = "endpointslice.kubernetes.io/skip-mirror";
constexpr int kMirroredPerSubset = 1000;

struct MirrorPlan {
  SlicePlan slices;
  int invalid = 0;  // addresses that are none
  int skipped = 0;  // those, and addresses beyond what one slice holds
};

// One slice per family and set of ports. `existing`: the mirrored slices that there are.
MirrorPlan PlanMirror(const kube::core::v1::Endpoints& endpoints,
                      const std::vector<SlicePtr>& existing);

}  // namespace meltemi::controllers
