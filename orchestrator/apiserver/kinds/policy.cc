// The group "policy".
#include "orchestrator/apiserver/kinds/groups.h"

namespace meltemi::apiserver {

void AddPolicy(KindTable& table) {
  table.Add("policy", "poddisruptionbudgets", PlainStrategy({.counts_generations = true}), nullptr);
}

}  // namespace meltemi::apiserver
