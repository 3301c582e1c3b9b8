// The group "rbac.authorization.k8s.io".
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/names.h"

namespace meltemi::apiserver {

void AddRbac(KindTable& table) {
  // Names as "system:node" are fine: nothing but what no path can hold is refused.
  for (const char* plural : {"clusterrolebindings", "clusterroles", "rolebindings", "roles"}) {
    table.Add("rbac.authorization.k8s.io", plural,
              PlainStrategy({.check_name = CheckPathSegment, .create_on_update = true}), nullptr);
  }
}

}  // namespace meltemi::apiserver
