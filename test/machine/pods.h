// Pods without a cluster: network namespaces on a bridge, all of it gone with the process that made
// it.
//
// Namespaces have no name: each is held by a child that waits to die with its parent, so that
// nothing of them is left on the machine even when the test is killed.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "test/machine/process.h"

namespace meltemi::machine {

// A network namespace with its loopback up.
class Namespace {
 public:
  Namespace(Namespace&&) = default;
  Namespace& operator=(Namespace&&) = default;
  ~Namespace();
  static absl::StatusOr<Namespace> Make();
  int fd() const { return fd_->value; }
  pid_t holder() const { return holder_.pid(); }
  // Runs a command inside; its output is the error's text when it fails.
  absl::Status Run(const std::vector<std::string>& argv) const;

 private:
  struct Fd {
    int value = -1;
    ~Fd();
  };
  Namespace() = default;
  Process holder_;
  std::unique_ptr<Fd> fd_;
};

class Pod {
 public:
  const std::string& name() const { return name_; }
  const std::string& ip() const { return ip_; }
  const Namespace& network() const { return network_; }

  // Starts a program that stays (an application, the sidecar); its output is
  // <folder>/<pod>.<label>.log.
  absl::StatusOr<Process*> Start(const std::string& label, std::vector<std::string> argv,
                                 std::vector<std::string> env = {}, uid_t uid = 0);
  // Runs a command to its end, as `kubectl exec` would.
  Finished Exec(std::vector<std::string> argv,
                std::chrono::milliseconds timeout = std::chrono::seconds(60)) const;
  Process* process(const std::string& label);
  std::string Log(const std::string& label) const;
  std::string LogPath(const std::string& label) const;
  std::string hosts_file() const;
  std::string resolv_file() const;
  void Stop(const std::string& label);
  // True once something accepts connections on the port (looked at from inside the pod, not
  // connecting).
  bool Listening(int port) const;

 private:
  friend class Node;
  Pod(std::string name, std::string ip, Namespace network, std::string folder)
      : name_(std::move(name)),
        ip_(std::move(ip)),
        network_(std::move(network)),
        folder_(std::move(folder)) {}
  std::string name_, ip_;
  Namespace network_;
  std::string folder_;
  std::map<std::string, Process> processes_;
};

// The machine that the pods run on: a namespace with a bridge, 10.244.0.1/24. It has no way out.
class Node {
 public:
  // Error (with what to do about it): not root, no `ip` command …
  static absl::StatusOr<std::unique_ptr<Node>> Make(const std::string& folder);

  // A pod with an address on the bridge and a default route over it.
  absl::StatusOr<Pod*> AddPod(const std::string& name);
  // What names resolve to in every pod (/etc/hosts), for now and later pods.
  void SetHost(const std::string& ip, const std::vector<std::string>& names);

  // Something that runs on the node itself (the control plane), reachable at ip().
  absl::StatusOr<Process*> Start(const std::string& label, std::vector<std::string> argv);
  Process* process(const std::string& label) { return &processes_[label]; }
  Finished Exec(std::vector<std::string> argv,
                std::chrono::milliseconds timeout = std::chrono::seconds(60)) const;
  std::string ip() const { return "10.244.0.1"; }
  const std::string& folder() const { return folder_; }
  std::string Log(const std::string& label) const;

 private:
  Node(Namespace network, std::string folder)
      : network_(std::move(network)), folder_(std::move(folder)) {}
  void WriteHosts() const;

  Namespace network_;
  std::string folder_;
  std::map<std::string, std::vector<std::string>> hosts_;
  std::map<std::string, Process> processes_;
  std::vector<std::unique_ptr<Pod>> pods_;
};

// Why namespaces can't be made here, in one sentence with the command that mends it; "" when they
// can.
std::string WhyNoNamespaces();

}  // namespace meltemi::machine
