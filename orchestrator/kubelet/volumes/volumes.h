// The volumes of this node's pods: made before the first container starts, kept up to date (config
// maps, secrets, tokens, downward API) while it runs, taken away at the end.
//
// Threads: thread-safe; Prepare and Remove block on API calls and file operations. Source:
// pkg/kubelet/volumemanager, pkg/volume; the atomic writer's layout (..data), fsGroup, subPath.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "kube/client/client.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"

namespace meltemi::kube::core::v1 {
class Pod;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

class Mounter;

// Where the volumes of a pod lie on the node, by the volume's name.
struct PodMount {
  std::string host_path;
  bool read_only = false;  // whatever the container's volumeMount says
  bool is_file = false;    // a hostPath of a file, socket or device
};
using PodMounts = std::map<std::string, PodMount>;

struct VolumesOptions {
  std::string node_name;
  std::string root;           // pods/UID/volumes/PLUGIN/NAME
  std::string local_volumes;  // where dynamically provisioned volumes lie; "": nowhere
  Duration refresh_period = seconds(60);
  // Orphaned folders are looked for so often.
  Duration sweep_period = minutes(1);
  // Whether the runtime still has anything of a pod whose object is gone: its folders stay until
  // then. Empty: folders of pods that nobody has removed stay for ever.
  std::function<bool(const std::string& pod_uid)> in_use;
};

// The annotation of a node that tells the provisioner where its volumes go.
inline constexpr char kLocalVolumesAnnotation[] = "meltemi.dev/local-volumes";

class Volumes {
 public:
  virtual ~Volumes() = default;
  // What the informers told is synced: contents are kept up to date from now on, and folders of
  // pods and volumes that are gone are removed.
  virtual void Start() = 0;
  // Twice does no harm. Error: in the words of the FailedMount event (`MountVolume.SetUp failed for
  // volume "x" : secret "y" not found`); it is tried again by who calls. Volumes that no container
  // mounts are left out.
  virtual absl::StatusOr<PodMounts> Prepare(
      const std::shared_ptr<const kube::core::v1::Pod>& pod) = 0;
  // The path of a volumeMount's subPath (expanded) inside its volume, made if need be; never
  // outside of it, whatever links lie there.
  virtual absl::StatusOr<std::string> SubPath(const std::string& pod_uid, const PodMount& mount,
                                              const std::string& sub_path) = 0;
  // Unmounts and removes; nothing of a provisioned volume is lost.
  virtual absl::Status Remove(const std::string& pod_uid) = 0;
  // Bytes and inodes of what is on disk: for statistics.
  struct Size {
    int64_t used_bytes = 0, inodes_used = 0;
  };
  virtual std::map<std::string, Size> Sizes(const std::string& pod_uid) = 0;
};

// Pods are read from `informers` with the field selector "spec.nodeName=NODE".
std::unique_ptr<Volumes> NewVolumes(const VolumesOptions& options, kube::Client& client,
                                    kube::Informers& informers, kube::Executor& executor);
// The same with another way to mount (mounter_fake.h).
std::unique_ptr<Volumes> NewVolumes(const VolumesOptions& options, kube::Client& client,
                                    kube::Informers& informers, kube::Executor& executor,
                                    std::unique_ptr<Mounter> mounter);

}  // namespace meltemi::kubelet
