// The core group.
#include "orchestrator/apiserver/kinds/config.h"
#include "orchestrator/apiserver/kinds/endpoints.h"
#include "orchestrator/apiserver/kinds/event.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/limits.h"
#include "orchestrator/apiserver/kinds/namespace.h"
#include "orchestrator/apiserver/kinds/node.h"
#include "orchestrator/apiserver/kinds/pod.h"
#include "orchestrator/apiserver/kinds/pod_table.h"
#include "orchestrator/apiserver/kinds/service.h"
#include "orchestrator/apiserver/kinds/volume.h"
#include "orchestrator/apiserver/kinds/workloads.h"

namespace meltemi::apiserver {

void AddCore(KindTable& table) {
  table.Add("", "configmaps", ConfigMapStrategy(), ConfigMapColumns());
  table.Add("", "endpoints", EndpointsStrategy(), EndpointsColumns());
  table.Add("", "events", EventStrategy(), EventColumns());
  table.Add("", "limitranges", LimitRangeStrategy(), nullptr);
  table.Add("", "namespaces", NamespaceStrategy(), NamespaceColumns());
  table.Add("", "nodes", NodeStrategy(), NodeColumns());
  table.Add("", "persistentvolumeclaims", ClaimStrategy(), ClaimColumns());
  table.Add("", "persistentvolumes", VolumeStrategy(), VolumeColumns());
  table.Add("", "pods", std::make_unique<PodStrategy>(), PodColumns());
  table.Add("", "podtemplates", PodTemplateStrategy(), PodTemplateColumns());
  table.Add("", "replicationcontrollers", ReplicationControllerStrategy(),
            ReplicationControllerColumns());
  table.Add("", "resourcequotas", ResourceQuotaStrategy(), ResourceQuotaColumns());
  table.Add("", "secrets", SecretStrategy(), SecretColumns());
  table.Add("", "serviceaccounts", nullptr, ServiceAccountColumns());
  table.Add("", "services", ServiceStrategy(), ServiceColumns());
}

}  // namespace meltemi::apiserver
