// Where the mesh half of the tutorial happens: pods in network namespaces with manifests in a
// folder (machine_world.h), or a cluster with containers and kubectl (test/nodes/cluster_world.h).
// In each flaskapp v1 and v2, httpbin and sleep run with sidecars; questions are asked from the
// sleep pod.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "test/machine/load.h"
#include "test/machine/process.h"

namespace meltemi::scenarios {

// What a step saw.
struct Row {
  std::string step;      // "12 weights"
  std::string asked;     // "1000 requests, 70/30"
  std::string measured;  // "703 v1, 297 v2 (p = 0.86)"
  bool passed = false;
};

class World {
 public:
  // Load that goes on until it is stopped (bounded: five minutes).
  class Load {
   public:
    virtual ~Load() = default;
    virtual machine::LoadResult Stop() = 0;
  };

  virtual ~World() = default;

  // In the sleep pod.
  virtual machine::Finished Exec(std::vector<std::string> argv,
                                 std::chrono::seconds timeout = std::chrono::seconds(35)) = 0;
  virtual std::unique_ptr<Load> StartLoad(const std::string& url, int connections) = 0;
  // What the application has logged so far: of "flaskapp-v1", "flaskapp-v2" or "httpbin".
  virtual std::string AppLog(const std::string& workload) = 0;

  // Puts a manifest in force under a name (in the place of what had it), or takes it away; returns
  // once every sidecar enforces it: "", or what went wrong.
  virtual std::string Apply(const std::string& name, const std::string& yaml) = 0;
  virtual std::string Delete(const std::string& name) = 0;

  // Of sleep's sidecar: the sum of the statistics whose names hold `part`, and its access log.
  virtual int64_t Stat(const std::string& part) = 0;
  virtual std::string AccessLog() = 0;
};

}  // namespace meltemi::scenarios
