// A kubelet's pods in a world without machines, for stories: the API server and a container runtime
// in memory, and simple fakes of what else there is. Images are always there unless the story says
// otherwise; volumes and groups are only noted.
//
//   PodsWorld world;
//   world.Start();
//   world.AddPod("web", "containers: [{name: web, image: nginx}]");
//   EXPECT_EQ(world.PhaseOf("web"), "Running Ready");
//   world.runtime.Exit("default/web/web", 1);
//   world.Advance(seconds(2));
//
// Threads: one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "base/random/random.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/events/recorder_fake.h"
#include "kube/informer/informer.h"
#include "orchestrator/apiserver/memory/memory_api.h"
#include "orchestrator/controllers/runtime/testing/world.h"
#include "orchestrator/kubelet/cgroups/pod_cgroups.h"
#include "orchestrator/kubelet/containers/configs.h"
#include "orchestrator/kubelet/cri/runtime_fake.h"
#include "orchestrator/kubelet/images/images.h"
#include "orchestrator/kubelet/pods/pods.h"
#include "orchestrator/kubelet/probes/probes.h"
#include "orchestrator/kubelet/volumes/volumes.h"

namespace meltemi::kubelet {

// What stands for the other parts, and what they were asked for.
struct PartsFake {
  std::map<std::string, ImageState> images;          // by image; without: present
  absl::Status volumes_error, volumes_remove_error;  // of Prepare and Remove
  absl::Status cgroups_error;
  std::map<std::string, ConfigError> config_errors;         // by container
  std::map<std::string, std::string> termination_messages;  // by container
  std::map<std::string, ProbeResult> probes;  // by container; without: started and ready
  bool probes_need_sync = false;              // what they were not given is not ready
  // Of handlers: how long they take and what comes of them. "NAME": of the container.
  std::map<std::string, std::pair<Duration, absl::Status>> hooks;
  std::vector<std::string> log;  // "hook web", "volumes+ web", …
  std::set<std::string> probed;  // container ids that were given to the probes
  std::function<void(const std::string&)> touch;
};

class PodsWorld {
 public:
  // `seed`: work runs in an order of its own; without, as it was given.
  explicit PodsWorld(std::optional<uint64_t> seed = std::nullopt);
  ~PodsWorld();

  // The kubelet's process begins: informers, pods. Twice: the earlier one ends first; what runs
  // goes on.
  void Start();
  void Stop();

  // `spec`: YAML of a pod's spec without its node, in braces or not. Settles.
  kube::core::v1::Pod AddPod(absl::string_view name, absl::string_view spec,
                             absl::string_view metadata = "");
  void Delete(absl::string_view name, int64_t grace_s = -1);
  void Settle() { world.Settle(); }
  void Advance(Duration by) { world.Advance(by); }

  kube::core::v1::Pod Get(absl::string_view name) { return world.Get<kube::core::v1::Pod>(name); }
  // "Running Ready", "Pending", "gone".
  std::string PhaseOf(absl::string_view name);
  // "running", "waiting CrashLoopBackOff", "terminated 1".
  std::string StateOf(absl::string_view pod, absl::string_view container);
  std::vector<std::string> Events() { return recorder_.Take(); }
  // Writes of a pod so far.
  int WritesOf(absl::string_view name);

  controllers::World world;
  RuntimeFake runtime;
  PartsFake fake;
  apiserver::MemoryApi::Process& process() { return *process_; }
  Pods& pods() { return *pods_; }
  PodsOptions options;
  // Instead of the fake: for stories with real ones.
  std::function<std::unique_ptr<Probes>(Runtime& runtime, kube::EventRecorder& recorder)>
      make_probes;

 private:
  FastRandom random_{3};
  kube::EventRecorderFake recorder_;
  // Of one process, in the order of their making.
  struct Parts;
  std::unique_ptr<apiserver::MemoryApi::Process> process_;
  std::unique_ptr<kube::Informers> informers_;
  std::unique_ptr<Runtime> client_;
  std::unique_ptr<Parts> parts_;
  std::unique_ptr<Pods> pods_;
};

}  // namespace meltemi::kubelet
