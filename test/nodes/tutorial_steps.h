// The orchestrator's half of the tutorial, steps 01 to 07 and 19, with kubectl on real containers:
// each step does what the tutorial says, measures from outside and says what it saw. The demo
// prints the rows; tutorial_test asserts that each passed.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "test/nodes/cluster.h"
#include "test/scenarios/world.h"

namespace meltemi::nodes {

using scenarios::Row;

class TutorialSteps {
 public:
  // `folder`: where the manifests are. `cluster` outlives it, and was started with ClusterArgs().
  TutorialSteps(const Cluster& cluster, std::string folder);

  // What `up` has to be told for these steps.
  static std::vector<std::string> ClusterArgs();
  static std::vector<std::string> Images();

  // In the order of the tutorial.
  struct Step {
    std::string name;
    std::function<std::vector<Row>(TutorialSteps&)> run;
  };
  static const std::vector<Step>& Steps();

 private:
  class Notes;  // the rows of one step, with what went wrong in between

  std::string File(const std::string& name) const { return folder_ + "/" + name; }
  // Applies the manifest of step 02 with another image.
  std::string ApplyImage(const std::string& image) const;
  std::string WaitForRollout(const std::string& name) const;
  bool AnswersAs(const char* version, const std::string& ip, int port) const;
  void Delete(const std::string& what) const;
  // Does `change` while requests come at a constant rate.
  Row UnderLoad(const std::string& step, const std::string& what,
                const std::function<std::string()>& change, size_t versions = 0) const;

  std::vector<Row> CreateExposeScale();
  std::vector<Row> UpdateUndoPause();
  std::vector<Row> ScaleUnderLoad();
  std::vector<Row> Probes();

  const Cluster& cluster_;
  const std::string folder_;
  const std::string node_ip_;
};

}  // namespace meltemi::nodes
