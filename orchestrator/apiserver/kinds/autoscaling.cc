// The group "autoscaling": two versions of one set of objects, kept as v2.
#include "orchestrator/apiserver/kinds/groups.h"

namespace meltemi::apiserver {

void AddAutoscaling(KindTable& table) {
  table.SetStorage("autoscaling", "v1", "horizontalpodautoscalers",
                   {.storage = {"autoscaling", "horizontalpodautoscalers"},
                    .version = "autoscaling/v2",
                    .kind = "HorizontalPodAutoscaler"});
}

}  // namespace meltemi::apiserver
