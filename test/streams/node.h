// A node for streams alone: an API server, a containerd of its own with one pod made directly
// through the runtime, and the kubelet's server. All of it in a network namespace of the test's
// process; containerd and what it starts in a PID and a mount namespace that die with the test.
//
// One thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "base/metrics/metrics.h"
#include "kube/client/client.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/server/kubelet_server.h"
#include "orchestrator/kubelet/server/server_fixture.h"
#include "test/machine/process.h"

namespace meltemi::streams {

struct Answer {
  int exit_status = -1;
  std::string output;  // stdout and stderr
};

class Node {
 public:
  Node();
  ~Node();
  // Why there is no node here; "" when there is one.
  const std::string& why_not() const { return why_not_; }

  // `line` in bash with `kubectl` being this program; the folder is the current one.
  Answer Shell(const std::string& kubectl, const std::string& line) const;
  const std::string& folder() const { return folder_; }
  // The path of a program beside this file.
  std::string tool(const std::string& name) const;
  void Kill(const std::string& container);  // the container ends

 private:
  bool EnterNamespace();
  bool StartApiServer();
  bool StartContainerd();
  bool StartPod();
  bool StartKubelet();
  bool TellApiServer();
  bool StartContainer(const std::string& name, const std::string& command, bool has_stdin,
                      bool tty);
  bool Call(const std::string& method, const std::string& path, const std::string& body);
  void RefreshPod();
  bool Fail(const std::string& why);

  const SystemClock clock_;
  std::string folder_, why_not_;
  machine::Process api_server_, containerd_;
  std::unique_ptr<kube::Client> client_;
  std::unique_ptr<kubelet::Runtime> runtime_;
  std::string sandbox_;
  std::shared_ptr<kubelet::PodOnNode> pod_;
  kubelet::FakePods pods_;
  kubelet::FakeStats stats_;
  metrics::Registry metrics_;
  std::unique_ptr<kubelet::KubeletServer> server_;
};

}  // namespace meltemi::streams
