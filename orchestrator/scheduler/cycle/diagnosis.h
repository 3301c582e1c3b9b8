// Why a pod has no place: what its events and its condition say, and where preemption may help.
//
// Threads: a value type. Source: the words of kube-scheduler's FitError.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "orchestrator/scheduler/cycle/filters.h"
#include "orchestrator/scheduler/queue/queue.h"

namespace meltemi::scheduler {

// Reasons and how many nodes have given them.
class Reasons {
 public:
  void Add(absl::string_view reason, size_t nodes = 1);
  void Add(const Verdict& verdict, size_t nodes = 1);
  // "1 Insufficient cpu, 2 node(s) had untolerated taint {…}", sorted; empty when there is none.
  std::string ToString() const;

 private:
  std::vector<std::pair<std::string, size_t>> counts_;
};

// "0/5 nodes are available: REASONS."
std::string NotAvailable(size_t nodes, const Reasons& reasons);

struct Diagnosis {
  size_t nodes = 0;  // of the cluster
  PluginSet refused_by = 0;
  // Before any node was looked at; then the rest does not count.
  std::string pre_filter;
  Reasons reasons;
  // Nodes where removing pods may help.
  std::vector<const NodeInfo*> preemptable;
  // What the node said for which the pod is nominated; kOk where there is none.
  Verdict::Code nominated_node = Verdict::Code::kOk;

  // `preemption`: what came of it ("preemption: …"), may be empty.
  std::string Message(absl::string_view preemption) const;
};

}  // namespace meltemi::scheduler
