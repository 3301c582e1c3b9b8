// The group "coordination.k8s.io".
#include "orchestrator/apiserver/kinds/groups.h"

namespace meltemi::apiserver {

void AddCoordination(KindTable& table) {
  table.Add("coordination.k8s.io", "leases",
            PlainStrategy({.create_on_update = true, .unconditional_update = false}), nullptr);
}

}  // namespace meltemi::apiserver
