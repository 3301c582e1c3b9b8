// Images of containers: whether they are there, pulled when the policy says so, with back-off; and
// unused ones removed when the disk fills.
//
// Level-triggered: Want says how it stands and sees to it that it goes on. A failure is shown as
// ErrImagePull at first, then as ImagePullBackOff until the image has come, also while it is pulled
// once more.
//
// Threads: thread-safe; Want may block on quick calls of the runtime; `on_change` is called on an
// executor's thread. Source: pkg/kubelet/images; the messages of ErrImagePull, ImagePullBackOff,
// ErrImageNeverPull, InvalidImageName, ImageInspectError.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/metrics/metrics.h"
#include "kube/events/recorder.h"
#include "kube/executor/executor.h"
#include "orchestrator/kubelet/cri/runtime.h"

namespace meltemi::kube::core::v1 {
class Container;
class Pod;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

struct ImageState {
  enum class Kind : uint8_t { kPresent, kPulling, kFailed };
  Kind kind = Kind::kPulling;
  std::string ref;              // of kPresent: what the runtime is told
  std::string reason, message;  // of kFailed: "ErrImagePull", "ImagePullBackOff", …
};

struct ImagesOptions {
  Duration backoff_min = seconds(10), backoff_max = minutes(5);
  // What is wrong without a pull (the name, an image that is to be there) is looked at again.
  Duration recheck = seconds(10);
  int parallel_pulls_max = 4;
  int gc_high_percent = 85, gc_low_percent = 80;  // of the images' file system
  Duration gc_age_min = minutes(2), gc_period = minutes(5);
  // Never removed, besides what the runtime says that it pins.
  std::vector<std::string> keep;
  // Of the file system at a path; empty: asks the kernel. `capacity` 0: not known, nothing is
  // removed.
  struct Space {
    uint64_t capacity_bytes = 0, available_bytes = 0;
  };
  std::function<Space(const std::string& path)> space;
};

class Images {
 public:
  virtual ~Images() = default;
  // Events (Pulling, Pulled, Failed, BackOff) are of `pod`, with the container's field path.
  // `attempt`: with Always every start of the container pulls once.
  virtual ImageState Want(const std::shared_ptr<const kube::core::v1::Pod>& pod,
                          const kube::core::v1::Container& container, uint32_t attempt,
                          const std::vector<PullAuth>& auths,
                          const cri::PodSandboxConfig& sandbox) = 0;
  // Nobody asks for the pod's images any more.
  virtual void Forget(const std::string& pod_uid) = 0;
  // The pod (its UID) whose image has come, or failed, or may be tried again. Before the first
  // Want.
  virtual void OnChange(std::function<void(const std::string& pod_uid)> on_change) = 0;
};

std::unique_ptr<Images> NewImages(const ImagesOptions& options, Runtime& runtime,
                                  kube::Executor& executor, kube::EventRecorder& recorder,
                                  metrics::Registry* metrics);

}  // namespace meltemi::kubelet
