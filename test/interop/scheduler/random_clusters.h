// Random but repeatable clusters with a pod that waits, as a question to two schedulers: nodes,
// pods, namespaces, services, pod, feasible, victims, strategy, resources, shape (go/main.go).
//
// Threads: one.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "base/json/value.h"

namespace meltemi::interop {

class RandomClusters {
 public:
  explicit RandomClusters(uint32_t seed) : engine_(seed) {}

  json::Value Question();
  json::Value Node(const std::string& name);
  // With node affinity, spreading and tolerations too.
  json::Value WaitingPod();
  json::Value RunningPod(const std::string& name, int port, const std::string& node);

 private:
  int Below(int bound) { return static_cast<int>(engine_() % static_cast<uint32_t>(bound)); }
  bool Chance(int percent) { return Below(100) < percent; }
  const char* Pick(const std::vector<const char*>& from) {
    return from[static_cast<size_t>(Below(static_cast<int>(from.size())))];
  }

  json::Value Taints();
  json::Value Images();
  json::Value Pod(const std::string& name);
  json::Value Labels();
  json::Value Port(int number);
  json::Value Container(const std::string& name);
  json::Value Requests();
  json::Value InitContainers();
  json::Value Tolerations();
  json::Value NodeSelectorTerm();
  json::Value NodeRequirement();
  json::Value NodeAffinity();
  json::Value PodAffinityTerm();
  json::Value PodAffinity();
  json::Value LabelSelector();
  json::Value SpreadConstraints();
  json::Value Service(const std::string& name);
  void Score(json::Value& question);
  void Preempt(json::Value& question);

  std::mt19937 engine_;
};

}  // namespace meltemi::interop
