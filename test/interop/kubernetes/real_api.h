// A real kube-apiserver on a real etcd, for the length of a test. No nodes, no controllers, nothing
// but the API.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"
#include "base/json/value.h"
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
  // The file of a service account, with a token for an hour. The account exists.
  std::string KubeconfigOf(const std::string& ns, const std::string& account) const;
  // Exit status and output of kubectl, which is in the PATH of a Debian machine.
  machine::Finished Kubectl(std::vector<std::string> args, absl::string_view input = "") const;
  // The lines of kubectl's words, parted by spaces; the test fails unless it succeeds.
  std::string Does(absl::string_view words, absl::string_view input = "") const;

  // What service accounts of the mesh have asked, and what they were answered: events of
  // audit.k8s.io/v1.
  std::vector<json::Value> Audit() const;

  void Stop();
  // As before; with `elsewhere` at another port until it is started again, for changes that nobody
  // sees who looks at the old one.
  absl::Status StartAgain(bool elsewhere = false);
  // From the next start on another authority signs its certificate.
  void ChangeAuthority();
  // Forgets, in etcd, all that is not the present state.
  absl::Status Compact();

  // A folder that goes with this.
  const std::string& folder() const { return folder_; }

 private:
  absl::Status MakeFiles();
  void WriteKubeconfig(const std::string& path, absl::string_view token, int port) const;

  std::string folder_, program_, kubeconfig_, ca_pem_;
  int port_ = 0;
  const SystemClock clock_;
  std::unique_ptr<store::EtcdProcess> etcd_;
  machine::Process process_;
};

}  // namespace meltemi::interop
