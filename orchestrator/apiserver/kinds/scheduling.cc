// The group "scheduling.k8s.io".
#include "orchestrator/apiserver/kinds/groups.h"

namespace meltemi::apiserver {

void AddScheduling(KindTable& table) {
  table.Add("scheduling.k8s.io", "priorityclasses", PlainStrategy({.counts_generations = true}),
            nullptr);
}

}  // namespace meltemi::apiserver
