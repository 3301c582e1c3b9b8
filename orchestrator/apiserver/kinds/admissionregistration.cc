// The group "admissionregistration.k8s.io".
#include "orchestrator/apiserver/kinds/groups.h"

namespace meltemi::apiserver {

void AddAdmissionRegistration(KindTable& table) {
  for (const char* plural : {"mutatingwebhookconfigurations", "validatingwebhookconfigurations"}) {
    table.Add("admissionregistration.k8s.io", plural, PlainStrategy({.counts_generations = true}),
              nullptr);
  }
}

}  // namespace meltemi::apiserver
