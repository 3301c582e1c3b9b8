// The group "apps".
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/workloads.h"

namespace meltemi::apiserver {

void AddApps(KindTable& table) {
  table.Add("apps", "controllerrevisions", ControllerRevisionStrategy(),
            ControllerRevisionColumns());
  table.Add("apps", "daemonsets", DaemonSetStrategy(), DaemonSetColumns());
  table.Add("apps", "deployments", DeploymentStrategy(), DeploymentColumns());
  table.Add("apps", "replicasets", ReplicaSetStrategy(), ReplicaSetColumns());
  table.Add("apps", "statefulsets", StatefulSetStrategy(), StatefulSetColumns());
}

}  // namespace meltemi::apiserver
