// Back from the runtime's lists to pods.
#include <cstdint>

#include "absl/strings/numbers.h"
#include "cri/runtime/v1/container.pb.h"
#include "cri/runtime/v1/sandbox.pb.h"
#include "kube/core/v1/container.pb.h"
#include "orchestrator/kubelet/containers/configs.h"
#include "orchestrator/kubelet/containers/labels.h"

namespace meltemi::kubelet {
namespace {

using TextMap = google::protobuf::Map<std::string, std::string>;

std::string Of(const TextMap& map, const char* key) {
  const auto it = map.find(key);
  return it == map.end() ? "" : it->second;
}

WallTime TimeOf(int64_t nanoseconds) { return WallTime(Duration(nanoseconds)); }

bool ReadPod(const TextMap& labels, PodState* pod) {
  const std::string uid = Of(labels, kPodUidLabel);
  if (uid.empty()) return false;
  pod->uid = uid;
  pod->ns = Of(labels, kPodNamespaceLabel);
  pod->name = Of(labels, kPodNameLabel);
  return true;
}

ContainerState::Phase PhaseOf(cri::ContainerState state) {
  switch (state) {
    case cri::CONTAINER_CREATED:
      return ContainerState::Phase::kCreated;
    case cri::CONTAINER_RUNNING:
      return ContainerState::Phase::kRunning;
    case cri::CONTAINER_EXITED:
      return ContainerState::Phase::kExited;
    default:
      return ContainerState::Phase::kUnknown;
  }
}

}  // namespace

bool FromSandbox(const cri::PodSandbox& sandbox, PodState* pod, SandboxState* out) {
  if (!ReadPod(sandbox.labels(), pod)) return false;
  out->id = sandbox.id();
  out->attempt = sandbox.metadata().attempt();
  out->ready = sandbox.state() == cri::SANDBOX_READY;
  out->created_at = TimeOf(sandbox.created_at());
  return true;
}

bool FromContainer(const cri::Container& container, PodState* pod, ContainerState* out) {
  const std::string name = Of(container.labels(), kContainerNameLabel);
  if (name.empty() || !ReadPod(container.labels(), pod)) return false;
  out->id = container.id();
  out->name = name;
  out->attempt = container.metadata().attempt();
  out->phase = PhaseOf(container.state());
  out->image = container.image().user_specified_image().empty()
                   ? container.image().image()
                   : container.image().user_specified_image();
  out->image_ref = container.image_ref();
  out->sandbox = container.pod_sandbox_id();
  out->created_at = TimeOf(container.created_at());
  if (!absl::SimpleHexAtoi(Of(container.annotations(), kHashAnnotation), &out->spec_hash)) {
    out->spec_hash = 0;
  }
  return true;
}

void AddStatus(const cri::ContainerStatus& status, ContainerState* out) {
  out->phase = PhaseOf(status.state());
  if (!status.image().image().empty()) out->image = status.image().image();
  if (!status.image_ref().empty()) out->image_ref = status.image_ref();
  out->created_at = TimeOf(status.created_at());
  out->started_at = TimeOf(status.started_at());
  out->finished_at = TimeOf(status.finished_at());
  out->exit_code = status.exit_code();
  out->reason = status.reason();
  out->message = status.message();
  out->log_path = status.log_path();
}

uint64_t SpecHash(const kube::core::v1::Container& container) {
  // FNV-1a: the same in every build, because a container outlives the kubelet that made it.
  uint64_t hash = 0xcbf29ce484222325;
  const auto mix = [&hash](const std::string& text) {
    for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    hash = (hash ^ 0xff) * 0x100000001b3;
  };
  mix(container.name());
  mix(container.image());
  return hash;
}

}  // namespace meltemi::kubelet
