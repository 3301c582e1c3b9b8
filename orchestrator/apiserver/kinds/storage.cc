// The group "storage.k8s.io".
#include "orchestrator/apiserver/kinds/groups.h"

namespace meltemi::apiserver {

void AddStorage(KindTable& table) {
  table.Add("storage.k8s.io", "storageclasses", PlainStrategy({}), nullptr);
}

}  // namespace meltemi::apiserver
