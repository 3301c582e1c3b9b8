// The group "networking.k8s.io".
#include "orchestrator/apiserver/kinds/groups.h"

namespace meltemi::apiserver {

void AddNetworking(KindTable& table) {
  for (const char* plural : {"ingressclasses", "ingresses", "networkpolicies"}) {
    table.Add("networking.k8s.io", plural, PlainStrategy({.counts_generations = true}), nullptr);
  }
}

}  // namespace meltemi::apiserver
