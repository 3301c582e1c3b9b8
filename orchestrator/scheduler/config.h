// KubeSchedulerConfiguration: what a user may set in a file (--config).
//
// Read are percentageOfNodesToScore, podInitialBackoffSeconds, podMaxBackoffSeconds and profiles
// (schedulerName, plugins that are disabled and weights of scores, arguments of NodeResourcesFit,
// NodeResourcesBalancedAllocation, InterPodAffinity and PodTopologySpread). What else Kubernetes
// has there is accepted where it changes nothing here (leaderElection, clientConnection), and
// refused where somebody would wait for its effect (extenders, plugins that there are none of).
//
// Threads: a function without state. Source: kubescheduler.config.k8s.io/v1.
#pragma once

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "orchestrator/scheduler/scheduler.h"

namespace meltemi::scheduler {

// YAML or JSON. Error: InvalidArgument with the place ("line 7: profiles[0].plugins.score: …").
absl::StatusOr<SchedulerOptions> ParseConfig(absl::string_view text);

}  // namespace meltemi::scheduler
