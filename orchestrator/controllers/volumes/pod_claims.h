// Which pods use which claims.
//
// Threads: functions without state.
#pragma once

#include <string>
#include <vector>

#include "kube/core/v1/claim.pb.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::controllers {

// The index of pods by "NS/CLAIM" of their volumes.
inline constexpr char kByClaim[] = "claim";
std::vector<std::string> PodsByClaim(const google::protobuf::Message& pod);

// The claim's name behind a volume: named, or that of a generic ephemeral volume; "": it has none.
std::string ClaimNameOf(const kube::core::v1::Pod& pod, const kube::core::v1::Volume& volume);
bool IsOwnedBy(const kube::core::v1::PersistentVolumeClaim& claim, const kube::core::v1::Pod& pod);

// Whether the pod, which has a node, needs the claim.
bool Uses(const kube::core::v1::Pod& pod, const kube::core::v1::PersistentVolumeClaim& claim);

}  // namespace meltemi::controllers
