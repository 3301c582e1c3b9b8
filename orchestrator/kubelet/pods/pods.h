// The pods of this node: from the objects that are bound to it to containers, and back to their
// status. One reconcile per pod (its UID is the key): what should be (the object), what is (the
// runtime), what is known besides (probes, images, volumes, back-offs) → actions and a status, by a
// pure function (plan.h).
//
// A kubelet that starts anew finds its containers by their labels and goes on with them. A pod
// whose object is gone is ended with its own grace period and removed.
//
// Threads: made and destroyed on one thread; works on the executor's; Find and List are
// thread-safe. Source: the pod life cycle of Kubernetes' documentation; pkg/kubelet.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/metrics/metrics.h"
#include "base/random/random.h"
#include "kube/client/client.h"
#include "kube/events/recorder.h"
#include "kube/executor/executor.h"
#include "kube/informer/informer.h"
#include "orchestrator/kubelet/pods/pod_state.h"

namespace meltemi::kube::core::v1 {
class Pod;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

class Images;
class PodCgroups;
class ContainerConfigs;
class Probes;
class Runtime;
class Volumes;

// All of them outlive the pods.
struct PodsParts {
  kube::Client& client;
  kube::Informers& informers;  // pods with spec.nodeName of this node; this node
  kube::Executor& executor;
  kube::EventRecorder& recorder;
  Random& random;
  metrics::Registry* metrics = nullptr;  // may be null
  Runtime& runtime;
  Images& images;
  Volumes& volumes;
  Probes& probes;
  PodCgroups& cgroups;
  ContainerConfigs& configs;
};

struct PodsOptions {
  std::string node_name;
  std::vector<std::string> node_ips;
  // Looks at everything that the runtime has so often, whatever was told.
  Duration relist_period = seconds(1);
  Duration backoff_min = seconds(10), backoff_max = minutes(5);
  // What serves (it is ready and declares ports) and is deleted goes on for so long, at most a
  // quarter of its grace period, until nobody sends it requests any more.
  Duration drain_delay = seconds(2);
  int workers = 16;
  int dead_containers_per_name = 1;
};

// A pod as the server and the statistics see it.
struct PodOnNode {
  std::shared_ptr<const kube::core::v1::Pod> pod;  // with the status that is written next
  PodState state;
};

class Pods {
 public:
  // What runs goes on running.
  virtual ~Pods() = default;
  // The informers that were asked for are synced.
  virtual void Start() = 0;
  // Null: not on this node.
  virtual std::shared_ptr<const PodOnNode> Find(absl::string_view ns,
                                                absl::string_view name) const = 0;
  virtual std::vector<std::shared_ptr<const PodOnNode>> List() const = 0;
  // Whether the runtime has anything of the pod, with or without an object, or may have it: what
  // the pod has on disk is not to be removed.
  virtual bool InRuntime(const std::string& pod_uid) const { return true; }
  // Looks at the pod again: a probe's result, an image or a volume has changed.
  virtual void Touch(const std::string& pod_uid) = 0;
  // The runtime's list has been read within the last minutes: else the node is not healthy (PLEG).
  virtual bool healthy() const = 0;
};

std::unique_ptr<Pods> NewPods(const PodsParts& parts, const PodsOptions& options);

}  // namespace meltemi::kubelet
