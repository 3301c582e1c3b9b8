// A real kube-apiserver on a real etcd, for the length of a test. No nodes, no controllers, nothing
// but the API.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "kube/client/client.h"
#include "orchestrator/store/etcd/etcd_process.h"
#include "test/machine/process.h"

namespace meltemi::interop {

class RealApi {
 public:
  // NotFound, with the reason: it can't be had here.
  static absl::StatusOr<std::unique_ptr<RealApi>> Start();
  RealApi() = default;
  ~RealApi();

  // As a cluster administrator.
  std::unique_ptr<kube::Client> NewClient() const;
  const std::string& kubeconfig() const { return kubeconfig_; }
  // Exit status and output of kubectl, which is in the PATH of a Debian machine.
  machine::Finished Kubectl(std::vector<std::string> args, absl::string_view input = "") const;

  void Stop();
  absl::Status StartAgain();

 private:
  std::string folder_, program_, kubeconfig_, url_;
  int port_ = 0;
  const SystemClock clock_;
  std::unique_ptr<store::EtcdProcess> etcd_;
  machine::Process process_;
};

}  // namespace meltemi::interop
