#include "kube/client/client.h"

#include "absl/strings/match.h"

namespace meltemi::kube {

bool IsTransient(const Status& status) {
  return status.code == 0 || status.code == 429 || status.code >= 500;
}

bool IsNamespaceTerminating(const Status& status) {
  if (status.code != 403) return false;
  for (const StatusCause& cause : status.causes) {
    if (cause.reason == "NamespaceTerminating") return true;
  }
  return false;
}

}  // namespace meltemi::kube
