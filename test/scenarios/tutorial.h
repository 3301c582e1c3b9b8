// The mesh half of the tutorial, step by step: each step asks, measures from outside, and says what
// it saw. The demo prints the rows; tests assert that each passed.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "test/scenarios/world.h"

namespace meltemi::scenarios {

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
  // `world` outlives it.
  Tutorial(World& world, const Manifests& manifests) : world_(world), manifests_(manifests) {}

  // In the order of the tutorial; a step may rely on those before it.
  struct Step {
    std::string name;
    bool for_envoy;  // can also be asked of an Envoy that our control plane configures
    std::function<std::vector<Row>(Tutorial&)> run;
  };
  static const std::vector<Step>& Steps();

 private:
  struct Counts {
    int v1 = 0, v2 = 0, other = 0;
    std::string sample;  // of what was neither
    std::string Text() const;
  };

  // Puts the manifest of a file in force.
  std::string ApplyFile(const std::string& name, const std::string& file,
                        const std::string& addition = "");
  // A VirtualService of flaskapp and the subsets that it needs, so that the demo can run one step
  // alone.
  std::string ApplyWithSubsets(const std::string& file);
  // `count` requests for /env/version from the sleep pod, one after the other over one connection.
  Counts Ask(int count, const std::string& header = "");
  int Lines(const std::string& workload, const std::string& part) const;

  std::vector<Row> RoundRobin();
  std::vector<Row> BlueGreen();
  std::vector<Row> Weights();
  std::vector<Row> Canary();
  std::vector<Row> Mirror();
  std::vector<Row> CircuitBreaker();
  std::vector<Row> Retries();
  std::vector<Row> Timeout();
  std::vector<Row> Faults();

  World& world_;
  const Manifests manifests_;
};

}  // namespace meltemi::scenarios
