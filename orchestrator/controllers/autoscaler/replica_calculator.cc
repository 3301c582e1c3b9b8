#include "orchestrator/controllers/autoscaler/replica_calculator.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kube/quantity/quantity.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Container;
using kube::core::v1::Pod;
using Requests = std::map<std::string, int64_t>;

// What the pods are to the question.
struct Groups {
  int ready = 0;
  std::set<std::string> unready, missing, ignored;
};

// A sample of a pod that was starting, or was not ready, says nothing about its load.
bool IsUnready(const Pod& pod, const PodMetric& metric, const ReplicaQuestion& question) {
  const kube::core::v1::PodCondition* ready = FindCondition(pod, "Ready");
  if (ready == nullptr || !pod.status().has_start_time()) return true;
  const WallTime started = ToWall(pod.status().start_time());
  const WallTime changed = ToWall(ready->last_transition_time());
  const bool is_false = ready->status() == "False";
  if (started + question.options.cpu_initialization_period > question.now) {
    return is_false || metric.time < changed + metric.window;
  }
  // It has never been ready.
  return is_false && started + question.options.initial_readiness_delay > changed;
}

Groups GroupPods(const ReplicaQuestion& question) {
  Groups out;
  for (const PodPtr& pod : question.pods) {
    const std::string& name = pod->metadata().name();
    if (IsTerminating(*pod) || pod->status().phase() == "Failed") {
      out.ignored.insert(name);
    } else if (pod->status().phase() == "Pending") {
      out.unready.insert(name);
    } else if (const auto metric = question.metrics.find(name); metric == question.metrics.end()) {
      out.missing.insert(name);
    } else if (question.resource == "cpu" && IsUnready(*pod, metric->second, question)) {
      out.unready.insert(name);
    } else {
      ++out.ready;
    }
  }
  return out;
}

absl::StatusOr<Requests> RequestsOf(const ReplicaQuestion& question) {
  Requests out;
  for (const PodPtr& pod : question.pods) {
    int64_t sum = 0;
    std::vector<const Container*> containers;
    for (const Container& container : pod->spec().containers()) containers.push_back(&container);
    for (const Container& container : pod->spec().init_containers()) {
      if (container.restart_policy() == "Always") containers.push_back(&container);
    }
    for (const Container* container : containers) {
      if (!question.container.empty() && question.container != container->name()) continue;
      const auto& requests = container->resources().requests();
      const auto at = requests.find(question.resource);
      const std::optional<kube::Quantity> amount =
          at == requests.end() ? std::nullopt : kube::Quantity::Parse(at->second.string());
      if (!amount.has_value()) {
        return absl::FailedPreconditionError(absl::StrCat("missing request for ", question.resource,
                                                          " in container ", container->name(),
                                                          " of Pod ", pod->metadata().name()));
      }
      sum += amount->MilliValue();
    }
    out[pod->metadata().name()] = sum;
  }
  return out;
}

// Sets the ratio of use to target, and what it was made of.
using Ratio = std::function<absl::StatusOr<double>(const PodMetrics&, Proposal*)>;

class Calculator {
 public:
  Calculator(ReplicaQuestion& question, Ratio ratio,
             std::function<int64_t(const std::string& pod)> when_missing_below)
      : question_(question),
        ratio_(std::move(ratio)),
        when_missing_below_(std::move(when_missing_below)) {}

  absl::StatusOr<Proposal> Propose(const Groups& groups) {
    Proposal out;
    const absl::StatusOr<double> measured = ratio_(question_.metrics, &out);
    if (!measured.ok()) return measured.status();
    const double ratio = *measured;
    out.replicas = question_.current_replicas;
    const bool up_with_unready = !groups.unready.empty() && ratio > 1.0;
    if (!up_with_unready && groups.missing.empty()) {
      if (!IsWithinTolerance(ratio)) {
        out.replicas = static_cast<int32_t>(std::ceil(ratio * groups.ready));
      }
      return out;
    }
    AssumeTheRest(groups, ratio, up_with_unready);
    Proposal assumed;
    const absl::StatusOr<double> again = ratio_(question_.metrics, &assumed);
    if (!again.ok()) return again.status();
    const bool turned = (ratio < 1.0 && *again > 1.0) || (ratio > 1.0 && *again < 1.0);
    if (turned || IsWithinTolerance(*again)) return out;
    const auto replicas =
        static_cast<int32_t>(std::ceil(*again * static_cast<double>(question_.metrics.size())));
    // More or fewer pods than replicas must not turn the direction either.
    if ((*again < 1.0 && replicas > out.replicas) || (*again > 1.0 && replicas < out.replicas)) {
      return out;
    }
    out.replicas = replicas;
    return out;
  }

 private:
  bool IsWithinTolerance(double ratio) const {
    return std::abs(1.0 - ratio) <= question_.options.tolerance;
  }

  // Pods about which nothing is known are taken for what speaks against a change.
  void AssumeTheRest(const Groups& groups, double ratio, bool up_with_unready) {
    for (const std::string& pod : groups.missing) {
      if (ratio < 1.0) question_.metrics[pod].value = when_missing_below_(pod);
      if (ratio > 1.0) question_.metrics[pod].value = 0;
    }
    if (!up_with_unready) return;
    for (const std::string& pod : groups.unready) question_.metrics[pod].value = 0;
  }

  ReplicaQuestion& question_;
  const Ratio ratio_;
  const std::function<int64_t(const std::string& pod)> when_missing_below_;
};

absl::StatusOr<Groups> Prepare(ReplicaQuestion* question) {
  if (question->pods.empty()) {
    return absl::FailedPreconditionError(
        "no pods returned by selector while calculating replica count");
  }
  Groups groups = GroupPods(*question);
  for (const std::string& pod : groups.ignored) question->metrics.erase(pod);
  for (const std::string& pod : groups.unready) question->metrics.erase(pod);
  if (question->metrics.empty()) {
    return absl::FailedPreconditionError(
        "did not receive metrics for targeted pods (pods might be unready)");
  }
  return groups;
}

}  // namespace

absl::StatusOr<Proposal> ProposeByUtilization(ReplicaQuestion question, int32_t target_percent) {
  const absl::StatusOr<Groups> groups = Prepare(&question);
  if (!groups.ok()) return groups.status();
  const absl::StatusOr<Requests> requests = RequestsOf(question);
  if (!requests.ok()) return requests.status();
  const Ratio ratio = [&](const PodMetrics& metrics, Proposal* out) -> absl::StatusOr<double> {
    int64_t used = 0, requested = 0, pods = 0;
    for (const auto& [pod, metric] : metrics) {
      const auto request = requests->find(pod);
      if (request == requests->end()) continue;
      used += metric.value;
      requested += request->second;
      ++pods;
    }
    if (requested == 0) {
      return absl::FailedPreconditionError("no metrics returned matched known pods");
    }
    out->utilization = static_cast<int32_t>(used * 100 / requested);
    out->average = used / pods;
    return static_cast<double>(out->utilization) / target_percent;
  };
  // All of what it asks for, or the target where that is more.
  const auto when_missing = [&](const std::string& pod) {
    return requests->at(pod) * std::max(100, target_percent) / 100;
  };
  return Calculator(question, ratio, when_missing).Propose(*groups);
}

absl::StatusOr<Proposal> ProposeByAverage(ReplicaQuestion question, int64_t target) {
  const absl::StatusOr<Groups> groups = Prepare(&question);
  if (!groups.ok()) return groups.status();
  const Ratio ratio = [&](const PodMetrics& metrics, Proposal* out) -> absl::StatusOr<double> {
    int64_t used = 0;
    for (const auto& [pod, metric] : metrics) used += metric.value;
    out->average = used / static_cast<int64_t>(metrics.size());
    return static_cast<double>(out->average) / static_cast<double>(target);
  };
  return Calculator(question, ratio, [&](const std::string&) { return target; }).Propose(*groups);
}

}  // namespace meltemi::controllers
