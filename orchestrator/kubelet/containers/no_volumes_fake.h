// Volumes of pods that have none: what is mounted is what the test says.
//
// Threads: one.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "orchestrator/kubelet/volumes/volumes.h"

namespace meltemi::kubelet {

class NoVolumes final : public Volumes {
 public:
  void Start() override {}
  absl::StatusOr<PodMounts> Prepare(const std::shared_ptr<const kube::core::v1::Pod>&) override {
    return PodMounts();
  }
  // Below the mount; "evil" leads outside.
  absl::StatusOr<std::string> SubPath(const std::string&, const PodMount& mount,
                                      const std::string& sub_path) override {
    if (sub_path == "evil") return absl::PermissionDeniedError("outside");
    return absl::StrCat(mount.host_path, "/", sub_path);
  }
  absl::Status Remove(const std::string&) override { return absl::OkStatus(); }
  std::map<std::string, Size> Sizes(const std::string&) override { return {}; }
};

}  // namespace meltemi::kubelet
