// The core group.
#include "orchestrator/apiserver/kinds/config.h"
#include "orchestrator/apiserver/kinds/event.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/namespace.h"
#include "orchestrator/apiserver/kinds/pod.h"
#include "orchestrator/apiserver/kinds/pod_table.h"
#include "orchestrator/apiserver/kinds/service.h"
#include "orchestrator/apiserver/kinds/volume.h"
#include "orchestrator/apiserver/kinds/workloads.h"

namespace meltemi::apiserver {

void AddCore(KindTable& table) {
  table.Add("", "configmaps", ConfigMapStrategy(), ConfigMapColumns());
  table.Add("", "events", EventStrategy(), EventColumns());
  table.Add("", "namespaces", NamespaceStrategy(), NamespaceColumns());
  table.Add("", "persistentvolumeclaims", ClaimStrategy(), ClaimColumns());
  table.Add("", "persistentvolumes", VolumeStrategy(), VolumeColumns());
  table.Add("", "pods", std::make_unique<PodStrategy>(), PodColumns());
  table.Add("", "podtemplates", nullptr, PodTemplateColumns());
  table.Add("", "replicationcontrollers", ReplicationControllerStrategy(),
            ReplicationControllerColumns());
  table.Add("", "secrets", SecretStrategy(), SecretColumns());
  table.Add("", "services", ServiceStrategy(), ServiceColumns());
}

}  // namespace meltemi::apiserver
