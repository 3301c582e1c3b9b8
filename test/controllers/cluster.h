// A whole control plane of real processes with hollow nodes, of which each can be killed and begun
// again, and kubectl talking to it.
//
// One thread, but Log (see pod_log.h).
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "kube/client/client.h"
#include "test/history/api_client.h"
#include "test/machine/process.h"

namespace meltemi::controllers {

struct ClusterOptions {
  int nodes = 3;
  int controller_managers = 1;  // replicas
  int schedulers = 1;
  bool quick_election = false;  // leases of seconds, for tests that kill leaders
  std::vector<std::string> kubelet_args;
  std::vector<std::string> controller_manager_args;
};

struct Answer {
  int exit_status = -1;
  std::string output;  // stdout and stderr
};

class Cluster {
 public:
  // Starts all of it and waits until the nodes are ready; fails the test if it can't.
  explicit Cluster(const ClusterOptions& options);
  ~Cluster();
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  // "apiserver", "controller-manager-0", "scheduler-0", "kubelet".
  std::vector<std::string> parts() const;
  bool Running(const std::string& part);
  void Kill(const std::string& part);  // kill -9
  // As before; the API server on the same port. Does not wait.
  void Start(const std::string& part);
  // Until the API server answers.
  void WaitForApiServer();
  std::string LogOf(const std::string& part) const;

  // As an administrator. Makes its connections again when the server is back.
  kube::Client& client() { return *client_; }
  history::ApiServerAddress address() const;

  // `line` as a shell would run it, with KUBECONFIG and `kubectl` set; `input` on standard input.
  Answer Shell(const std::string& line, absl::string_view input = "") const;
  const std::string& folder() const { return folder_; }

 private:
  std::vector<std::string> ArgsOf(const std::string& part) const;

  const ClusterOptions options_;
  std::string folder_;
  int port_ = 0;
  std::map<std::string, machine::Process> processes_;
  std::unique_ptr<kube::Client> client_;
};

// Where the test finds a kubectl; empty: there is none, and the test is skipped.
bool HasKubectl();

}  // namespace meltemi::controllers
