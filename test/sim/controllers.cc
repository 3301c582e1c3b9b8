// All controllers, as the controller-manager has them.
#include "orchestrator/controllers/autoscaler/autoscaler.h"
#include "orchestrator/controllers/cronjob/cronjob.h"
#include "orchestrator/controllers/daemonset/daemonset.h"
#include "orchestrator/controllers/deployment/deployment.h"
#include "orchestrator/controllers/disruption/disruption.h"
#include "orchestrator/controllers/endpoints/endpoints.h"
#include "orchestrator/controllers/garbage/garbage.h"
#include "orchestrator/controllers/job/job.h"
#include "orchestrator/controllers/namespaces/namespaces.h"
#include "orchestrator/controllers/nodes/nodes.h"
#include "orchestrator/controllers/podgc/podgc.h"
#include "orchestrator/controllers/replicaset/replicaset.h"
#include "orchestrator/controllers/serviceaccounts/serviceaccounts.h"
#include "orchestrator/controllers/services/services.h"
#include "orchestrator/controllers/statefulset/statefulset.h"
#include "test/sim/programs.h"

namespace meltemi::sim {

std::vector<ControllerEntry> Controllers() {
  using namespace controllers;  // NOLINT: the table reads better
  return {
      {"service-account-controller", &NewServiceAccountController},
      {"namespace-controller", &NewNamespaceController},
      {"generic-garbage-collector", &NewGarbageCollector},
      {"pod-garbage-collector",
       [](Context& context) { return NewPodGarbageCollector(context, {}); }},
      {"replicaset-controller", &NewReplicaSetController},
      {"replication-controller", &NewReplicationControllerController},
      {"deployment-controller", &NewDeploymentController},
      {"statefulset-controller", &NewStatefulSetController},
      {"daemon-set-controller", &NewDaemonSetController},
      {"job-controller", &NewJobController},
      {"ttl-after-finished-controller", &NewFinishedJobsController},
      {"cronjob-controller", &NewCronJobController},
      {"endpoint-controller", &NewEndpointsController},
      {"endpointslice-controller", &NewEndpointSliceController},
      {"service-controller",
       [](Context& context) { return NewLoadBalancerController(context, {}); }},
      {"node-controller", [](Context& context) { return NewNodeLifecycleController(context, {}); }},
      {"node-controller", &NewTaintEvictionController},
      {"disruption-controller", &NewDisruptionController},
      {"horizontal-pod-autoscaler",
       [](Context& context) { return NewAutoscalerController(context, {}); }},
  };
}

Abilities AllAbilities() {
  return {.deployments = true,
          .stateful_sets = true,
          .daemon_sets = true,
          .jobs = true,
          .cron_jobs = true,
          .services = true,
          .budgets = true,
          .namespaces = true,
          .garbage = true,
          .scheduler = true};
}

}  // namespace meltemi::sim
