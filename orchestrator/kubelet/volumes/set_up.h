// Makes one volume of a pod on the node, or brings it up to date.
//
// Threads: thread-safe for different pods; blocks on API calls and the disk.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "kube/client/client.h"
#include "orchestrator/kubelet/volumes/api_objects.h"
#include "orchestrator/kubelet/volumes/mounter.h"
#include "orchestrator/kubelet/volumes/volumes.h"

namespace meltemi::kube::core::v1 {
class Pod;
class Volume;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

struct MadeVolume {
  PodMount mount;
  bool changes = false;           // its content is to be kept up to date
  std::string persistent_volume;  // of claims
  bool once_pod = false;          // ReadWriteOncePod
};

class VolumeMaker {
 public:
  // All of it outlives the maker.
  VolumeMaker(const VolumesOptions& options, kube::Client& client, const Clock& clock,
              Mounter& mounter, ApiObjects& api)
      : options_(options), client_(client), clock_(clock), mounter_(mounter), api_(api) {}

  // Error: the text of the FailedMount event.
  absl::StatusOr<MadeVolume> Make(const kube::core::v1::Pod& pod,
                                  const kube::core::v1::Volume& volume);
  // Of a volume whose content comes from objects and that has been made. `changes` as above.
  absl::StatusOr<bool> Refresh(const kube::core::v1::Pod& pod, const kube::core::v1::Volume& volume,
                               Duration age_max);
  // "ROOT/pods/UID/volumes/PLUGIN/NAME"; "" for those that lie elsewhere.
  std::string PathOf(const kube::core::v1::Pod& pod, const kube::core::v1::Volume& volume) const;

 private:
  absl::StatusOr<MadeVolume> MakeEmptyDir(const kube::core::v1::Pod& pod,
                                          const kube::core::v1::Volume& volume);
  absl::StatusOr<MadeVolume> MakeFromObjects(const kube::core::v1::Pod& pod,
                                             const kube::core::v1::Volume& volume);
  absl::StatusOr<MadeVolume> MakeHostPath(const kube::core::v1::Volume& volume);
  absl::StatusOr<MadeVolume> MakeFromClaim(const kube::core::v1::Pod& pod,
                                           const kube::core::v1::Volume& volume);
  absl::Status MakeFolder(const std::string& path, bool in_memory, int64_t size_bytes);

  const VolumesOptions& options_;
  kube::Client& client_;
  const Clock& clock_;
  Mounter& mounter_;
  ApiObjects& api_;
};

}  // namespace meltemi::kubelet
