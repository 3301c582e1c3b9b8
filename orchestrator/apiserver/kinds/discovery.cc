// The group "discovery.k8s.io".
#include "orchestrator/apiserver/kinds/groups.h"

namespace meltemi::apiserver {

void AddDiscovery(KindTable& table) {
  table.Add("discovery.k8s.io", "endpointslices", PlainStrategy({.counts_generations = true}),
            nullptr);
}

}  // namespace meltemi::apiserver
