// People and their tools: what they ask of the cluster, at random.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "base/random/random.h"
#include "kube/client/client.h"
#include "kube/selector/selector.h"

namespace meltemi::sim {

// Who writes objects, and who evicts.
inline constexpr char kUser[] = "kubernetes-admin";
inline constexpr char kDrainer[] = "drainer";
// Workloads that can't become complete have this label.
inline constexpr char kImpossibleLabel[] = "sim/impossible";

// Which of the things that users do have somebody who answers: told by the controllers there are.
struct Abilities {
  bool deployments = false, stateful_sets = false, daemon_sets = false, jobs = false,
       cron_jobs = false, services = false, budgets = false, namespaces = false, garbage = false,
       scheduler = false;
};

class Users {
 public:
  // All outlive it. `tell` gets what is done, for the trace.
  Users(kube::Client& user, kube::Client& drainer, Random& random, const Abilities& abilities,
        std::function<void(const std::string&)> tell);

  // Some of each, to begin with.
  void CreateMuch();
  // Something, or nothing when the dice want what is not possible.
  void ActOnce();
  // Evicts what is left on drained nodes; called now and then, as `kubectl drain` tries again.
  void GoOnDraining();
  // What is paused goes on, drained nodes are made schedulable, CronJobs are suspended.
  void Tidy();

 private:
  using Value = json::Value;

  void CreateSomething();
  void CreateDeployment();
  void CreateReplicaSet();
  void CreateStatefulSet();
  void CreateDaemonSet();
  void CreateJob();
  void CreateCronJob();
  void CreateService();
  void CreateNamespace();
  void Scale();
  void ChangeTemplate();
  void PauseOrResume();
  void Undo();
  void DeletePod();
  void DeleteWorkload();
  void DeleteNamespace();
  void Drain();
  void Uncordon();

  std::string NewName(absl::string_view prefix);
  // One namespace of users', at random.
  std::string SomeNamespace();
  // Objects of the resource in users' namespaces that are not being deleted.
  std::vector<Value> ListOf(absl::string_view root, absl::string_view plural);
  const Value* Pick(const std::vector<Value>& objects);
  bool Send(absl::string_view method, const std::string& path, const std::string& yaml,
            absl::string_view content_type = "application/json");
  bool Patch(const std::string& path, const std::string& yaml) {
    return Send("PATCH", path, yaml, "application/merge-patch+json");
  }
  int Between(int low, int high) {
    return low + static_cast<int>(random_.Below(static_cast<uint64_t>(high - low + 1)));
  }
  bool Chance(double of_one) { return random_.Unit() < of_one; }

  kube::Client& user_;
  kube::Client& drainer_;
  Random& random_;
  const Abilities abilities_;
  const std::function<void(const std::string&)> tell_;
  int names_ = 0;
  std::vector<std::string> drained_;  // nodes
};

}  // namespace meltemi::sim
