// What statistics are made of, for tests: one pod, and volumes of given sizes.
//
// Threads: one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/pods/pods.h"
#include "orchestrator/kubelet/volumes/volumes.h"

namespace meltemi::kubelet {

class OnePodFake final : public Pods {
 public:
  void Start() override {}
  std::shared_ptr<const PodOnNode> Find(absl::string_view, absl::string_view) const override {
    return nullptr;
  }
  std::vector<std::shared_ptr<const PodOnNode>> List() const override {
    return {std::make_shared<const PodOnNode>(pod)};
  }
  void Touch(const std::string&) override {}
  bool healthy() const override { return true; }

  PodOnNode pod;
};

class DisksFake final : public Volumes {
 public:
  void Start() override {}
  absl::StatusOr<PodMounts> Prepare(const std::shared_ptr<const kube::core::v1::Pod>&) override {
    return PodMounts();
  }
  absl::StatusOr<std::string> SubPath(const std::string&, const PodMount&,
                                      const std::string&) override {
    return "";
  }
  absl::Status Remove(const std::string&) override { return absl::OkStatus(); }
  std::map<std::string, Size> Sizes(const std::string&) override {
    ++walks;
    return sizes;
  }
  std::map<std::string, Size> sizes;
  int walks = 0;
};

}  // namespace meltemi::kubelet
