// Who owns the claims of a StatefulSet's pods, so that the garbage collector deletes them when the
// set's persistentVolumeClaimRetentionPolicy says so: with the set, or with a pod that is too many.
//
// Threads: functions without state. Source: KEP-1847; pkg/controller/statefulset.
#pragma once

#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/claim.pb.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::controllers::statefulsets {

// Gives the claim the owners that it is to have. False: it has them, or belongs to somebody else.
bool SetClaimOwners(const kube::apps::v1::StatefulSet& set, const kube::core::v1::Pod& pod,
                    kube::core::v1::PersistentVolumeClaim* claim);

// The claim goes with an earlier pod of that name. `pod_uid`: of the pod that there is now; "":
// none.
bool IsOfEarlierPod(const kube::core::v1::PersistentVolumeClaim& claim, const std::string& pod_name,
                    const std::string& pod_uid);

}  // namespace meltemi::controllers::statefulsets
