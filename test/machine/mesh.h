// The mesh on a Node: pilot with a watched folder of manifests, and a sidecar with its redirect
// rules in each pod.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "test/machine/pods.h"

namespace meltemi::machine {

struct Programs {
  std::string proxy, pilot, cli, flaskapp;  // paths
  std::string envoy;                        // "" when it cannot be had
};

struct PodSpec {
  std::string name;                           // of the pod and its workload
  std::map<std::string, std::string> labels;  // app, version …
  // Ours speaks incremental xDS; Envoy either of the two.
  enum class Sidecar : uint8_t { kNone, kMeltemi, kEnvoy, kEnvoyDelta };
  Sidecar sidecar = Sidecar::kMeltemi;
  int concurrency = 1;
  std::vector<std::string> proxy_args;  // beside those every sidecar gets
  // Makes the whole command instead, once the pod's address is known.
  std::function<std::vector<std::string>(const Pod& pod)> command;
};

class Mesh {
 public:
  // Starts the node and pilot and waits until pilot is ready. `folder` takes logs and
  // configuration.
  static absl::StatusOr<std::unique_ptr<Mesh>> Start(const Programs& programs,
                                                     const std::string& folder);

  // Puts a manifest into the watched folder (replacing what had this name), or takes it out.
  void Apply(const std::string& name, const std::string& yaml);
  void ApplyFile(const std::string& name, const std::string& path);
  void Delete(const std::string& name);

  // A Service with one port; names resolve to its ClusterIP in all pods.
  void AddService(const std::string& name, const std::string& cluster_ip,
                  const std::string& port_name, int port, int target_port);
  // The pod, its WorkloadEntry, its redirect rules and its sidecar; returns once the sidecar is
  // ready.
  absl::StatusOr<Pod*> AddPod(const PodSpec& spec);
  // Takes the pod's WorkloadEntry away: no new requests reach it.
  void RemoveWorkload(const std::string& name);
  // SIGTERM to the pod's sidecar, as when a pod is terminated; its exit status.
  int TerminateSidecar(Pod& pod);

  // Waits until every sidecar is connected and has acknowledged everything that lies in the folder
  // now.
  absl::Status Settle(std::chrono::milliseconds timeout = std::chrono::seconds(30));

  absl::Status StartPilot();
  void KillPilot();
  // GET from the admin port of a pod's sidecar.
  std::string Admin(const Pod& pod, const std::string& path) const;
  // The value of a line `name: value` of /stats, 0 when absent; `name` is matched as a part of the
  // line.
  int64_t Stat(const Pod& pod, const std::string& name_part) const;
  // Resident memory of a pod's sidecar in kB, now and at its highest.
  int64_t SidecarMemoryKb(Pod& pod) const;
  int64_t SidecarPeakMemoryKb(Pod& pod) const;

  Node& node() { return *node_; }
  const Programs& programs() const { return programs_; }
  std::string AccessLog(const Pod& pod) const { return pod.Log("sidecar"); }

 private:
  Mesh(Programs programs, std::unique_ptr<Node> node, std::string config)
      : programs_(std::move(programs)), node_(std::move(node)), config_folder_(std::move(config)) {}
  absl::Status StartSidecar(Pod& pod, const PodSpec& spec);
  std::vector<std::string> SidecarCommand(const Pod& pod, const PodSpec& spec) const;

  const Programs programs_;
  std::unique_ptr<Node> node_;
  const std::string config_folder_;
  int sidecars_ = 0;  // that were started and should be connected
};

}  // namespace meltemi::machine
