// The machine's own containerd, for tests: in a folder, network, PID and mount namespace of its
// own, with a bridge for pods and a small image. When the test dies, the kernel takes all of it
// away: processes, mounts and interfaces.
//
// Threads: one.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace meltemi::kubelet {

class ContainerdProcess final {
 public:
  // Error: kFailedPrecondition says why it can't be here (no root, no such program): a test skips.
  static absl::StatusOr<std::unique_ptr<ContainerdProcess>> Start();
  ~ContainerdProcess();
  ContainerdProcess(const ContainerdProcess&) = delete;
  ContainerdProcess& operator=(const ContainerdProcess&) = delete;

  std::string endpoint() const { return "unix://" + folder_ + "/containerd.sock"; }
  const std::string& folder() const { return folder_; }
  // Busybox as "localhost/test:1": `sh`, `sleep`, `httpd`, …; without an entry point.
  static constexpr char kImage[] = "localhost/test:1";
  // It is gone; the containers go on. StartAgain: it is back.
  void Kill();
  absl::Status StartAgain();

 private:
  explicit ContainerdProcess(std::string folder) : folder_(std::move(folder)) {}

  absl::Status Prepare();
  absl::Status Hold();
  absl::Status Run();
  absl::Status MakeImage();
  // A command line that enters the namespaces.
  std::vector<std::string> Inside() const;

  const std::string folder_;
  pid_t holder_ = -1;      // of the namespaces
  pid_t containerd_ = -1;  // what has entered them for it
};

}  // namespace meltemi::kubelet
