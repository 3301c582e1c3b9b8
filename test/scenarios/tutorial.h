// The mesh half of the tutorial, step by step: each step asks, measures from outside, and says what
// it saw. The demo prints the rows; tutorial_test asserts that each passed.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "test/machine/mesh.h"

namespace meltemi::scenarios {

struct Row {
  std::string step;      // "12 weights"
  std::string asked;     // "1000 requests, 70/30"
  std::string measured;  // "703 v1, 297 v2 (p = 0.86)"
  bool passed = false;
};

// Where the manifests come from.
struct Manifests {
  std::string folder;
  // File names of our own examples/tutorial, or of the user's tutorial.
  std::string destination_rule, bluegreen, weights, canary, mirror, httpbin, circuit_breaker,
      retries, timeout, faults;
  // The user's time-out manifest lacks the time-out, and there is no faults manifest: what is to be
  // added to the route.
  std::string timeout_addition;

  static Manifests Examples(const std::string& folder);
  static Manifests Tutorial(const std::string& folder, const std::string& examples_folder);
};

class Tutorial {
 public:
  // Starts the mesh with flaskapp v1 and v2, httpbin and sleep, whose sidecars are of the given
  // kind. `say` gets a line of progress.
  static absl::StatusOr<std::unique_ptr<Tutorial>> Start(
      const machine::Programs& programs, const std::string& folder, const Manifests& manifests,
      machine::PodSpec::Sidecar sidecar, std::function<void(const std::string&)> say);

  // In the order of the tutorial; a step may rely on those before it.
  struct Step {
    std::string name;
    bool for_envoy;  // can also be asked of an Envoy that our control plane configures
    std::function<std::vector<Row>(Tutorial&)> run;
  };
  static const std::vector<Step>& Steps();

  machine::Mesh& mesh() { return *mesh_; }
  machine::Pod& sleep() { return *sleep_; }

 private:
  struct Counts {
    int v1 = 0, v2 = 0, other = 0;
    std::string sample;  // of what was neither
    std::string Text() const;
  };

  explicit Tutorial(const Manifests& manifests) : manifests_(manifests) {}
  absl::Status AddWorkloads(machine::PodSpec::Sidecar sidecar);
  // Copies a manifest into the watched folder under `name` and waits until the sidecars enforce it.
  std::string ApplyAndSettle(const std::string& name, const std::string& file,
                             const std::string& addition = "");
  // A VirtualService of flaskapp and the subsets that it needs, so that the demo can run one step
  // alone.
  std::string ApplyWithSubsets(const std::string& file);
  // `count` requests for /env/version from the sleep pod, one after the other over one connection.
  Counts Ask(int count, const std::string& header = "");
  int Lines(machine::Pod& pod, const std::string& part) const;

  std::vector<Row> RoundRobin();
  std::vector<Row> BlueGreen();
  std::vector<Row> Weights();
  std::vector<Row> Canary();
  std::vector<Row> Mirror();
  std::vector<Row> CircuitBreaker();
  std::vector<Row> Retries();
  std::vector<Row> Timeout();
  std::vector<Row> Faults();

  const Manifests manifests_;
  std::unique_ptr<machine::Mesh> mesh_;
  machine::Pod* v1_ = nullptr;
  machine::Pod* v2_ = nullptr;
  machine::Pod* httpbin_ = nullptr;
  machine::Pod* sleep_ = nullptr;
};

}  // namespace meltemi::scenarios
