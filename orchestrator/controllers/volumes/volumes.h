// Persistent volumes: claims are bound to volumes, by hand or provisioned on a node's local path;
// released volumes are deleted or kept; what is in use is protected.
//
// Threads: made and destroyed on one thread; works on the executor's. Source:
// pkg/controller/volume/{persistentvolume,pvprotection,pvcprotection} (events and messages);
// WaitForFirstConsumer: the scheduler names the node in volume.kubernetes.io/selected-node.
#pragma once

#include <memory>

namespace meltemi::controllers {

struct Context;
class Running;

// "meltemi.dev/local-path": the provisioner of the default StorageClass "local-path", which the
// API server makes. The folder is made by the node's kubelet when it is first mounted, and removed
// by it once the PersistentVolume is gone.
inline constexpr char kLocalPathProvisioner[] = "meltemi.dev/local-path";

std::unique_ptr<Running> NewVolumeBinder(Context& context);
// Finalizers of claims that pods use, and of volumes that are bound.
std::unique_ptr<Running> NewClaimProtection(Context& context);
std::unique_ptr<Running> NewVolumeProtection(Context& context);
// Claims of generic ephemeral volumes.
std::unique_ptr<Running> NewEphemeralVolumes(Context& context);

}  // namespace meltemi::controllers
