// Containers' logs in the CRI format (RFC 3339 time, stream, P or F, text): read with kubectl's
// options, and rotated.
//
// Threads: LogReader belongs to one thread at a time; Rotation is thread-safe. Source:
// pkg/kubelet/kuberuntime/logs, pkg/kubelet/logs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "kube/executor/executor.h"
#include "orchestrator/kubelet/cri/runtime.h"

namespace meltemi::kubelet {

struct LogOptions {
  bool follow = false, timestamps = false;
  std::optional<int64_t> tail_lines, limit_bytes;
  std::optional<WallTime> since;
};

// Reads on from where it was: never blocks, never holds more than a piece of the file.
class LogReader {
 public:
  virtual ~LogReader() = default;
  // The next at most `max` bytes for the client; "" when there is nothing at the moment. Follows
  // the file over rotations.
  virtual absl::StatusOr<std::string> Read(size_t max) = 0;
  // Nothing will come any more: the limit is reached, or without `follow` the end.
  virtual bool done() const = 0;
  // The container has ended: what is written is all.
  virtual void SetEnded() = 0;
};
absl::StatusOr<std::unique_ptr<LogReader>> OpenLog(const std::string& path,
                                                   const LogOptions& options);

struct RotationOptions {
  int64_t size_max = 10 * 1024 * 1024;
  int files_max = 5;
  Duration period = seconds(10);
};
class LogRotation {
 public:
  virtual ~LogRotation() = default;
};
// Looks at the logs of the containers that run; older files are compressed as Kubernetes does.
std::unique_ptr<LogRotation> NewLogRotation(const RotationOptions& options, Runtime& runtime,
                                            kube::Executor& executor);

}  // namespace meltemi::kubelet
