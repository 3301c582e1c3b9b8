// From a pod's claim to a folder of the node: claim → bound volume → hostPath or local path.
//
// Threads: a function without state; it blocks on API calls and the disk. Source: the words of
// pkg/kubelet/volumemanager and pkg/volume/local.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kube/client/client.h"
#include "orchestrator/kubelet/volumes/api_objects.h"

namespace meltemi::kube::core::v1 {
class Pod;
class Volume;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

struct ClaimedVolume {
  std::string volume;  // the PersistentVolume's name
  std::string path;
  bool read_only = false;
  bool is_local = false;  // of type local: fsGroup applies
  bool once_pod = false;  // ReadWriteOncePod: one pod alone may have it
};

// Whether the volume is a claim's: by name, or generated for the pod.
bool HasClaim(const kube::core::v1::Volume& volume);

// `local_volumes`: below it paths of local volumes are made when they are not there. Error: as the
// FailedMount event says it, in full.
absl::StatusOr<ClaimedVolume> FindClaimed(const kube::core::v1::Pod& pod,
                                          const kube::core::v1::Volume& volume,
                                          const std::string& node_name,
                                          const std::string& local_volumes, kube::Client& client,
                                          ApiObjects& api);

}  // namespace meltemi::kubelet
