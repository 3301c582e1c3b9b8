// The volumes of the provisioner meltemi.dev/local-path: a folder of one node each.
//
// Threads: functions without state. Source: the behaviour of rancher's local-path-provisioner.
#pragma once

#include <string>
#include <vector>

#include "kube/core/v1/claim.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/persistent_volume.pb.h"
#include "kube/storage/v1/storage.pb.h"
#include "orchestrator/controllers/volumes/matching.h"

namespace meltemi::controllers {

using NodePtr = std::shared_ptr<const kube::core::v1::Node>;

// "pvc-UID": the same whenever it is tried again.
std::string ProvisionedName(const PersistentVolumeClaim& claim);

// Why there can be no such volume, whatever node it is on; "": there can.
std::string WhyNotProvisioned(const PersistentVolumeClaim& claim,
                              const kube::storage::v1::StorageClass& storage_class);

// The node for a claim that does not wait for a pod: ready, open to pods, in the class's topology,
// with the fewest volumes. Null: there is none.
NodePtr ChooseNode(const kube::storage::v1::StorageClass& storage_class,
                   const std::vector<NodePtr>& nodes, const std::vector<VolumePtr>& volumes);

PersistentVolume ProvisionedVolume(const PersistentVolumeClaim& claim,
                                   const kube::storage::v1::StorageClass& storage_class,
                                   const kube::core::v1::Node& node);

}  // namespace meltemi::controllers
