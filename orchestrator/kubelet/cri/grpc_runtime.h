// A container runtime behind a socket: CRI v1 over gRPC.
//
// Connects at the first call, and again by itself when the runtime comes back; until then calls
// fail at once (kUnavailable). A call is never made twice: who reconciles tries again.
//
// Threads: as Runtime; ends are told on gRPC's threads.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "orchestrator/kubelet/cri/runtime.h"

namespace meltemi::kubelet {

struct GrpcRuntimeOptions {
  std::string image_endpoint;  // "": the runtime's own
  Duration timeout = seconds(30);
  Duration sandbox_timeout = minutes(2);  // RunPodSandbox, StopPodSandbox: a CNI plugin may be slow
  // Stopping and commands have their own time and this besides.
  Duration spare_timeout = minutes(2);
  Duration pull_timeout = minutes(60);
  Duration reconnect_max = seconds(1);
  size_t message_bytes_max = size_t{16} << 20;
};

// `endpoint`: "unix:///run/containerd/containerd.sock". Error: it is none.
absl::StatusOr<std::unique_ptr<Runtime>> NewGrpcRuntime(const std::string& endpoint,
                                                        const GrpcRuntimeOptions& options = {});

}  // namespace meltemi::kubelet
