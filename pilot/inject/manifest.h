// Injection without a cluster: manifests in, manifests with sidecars out.
//
// Threads: functions without state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "pilot/inject/settings.h"

namespace meltemi::pilot {

struct InjectedManifests {
  std::string text;
  size_t injected = 0;                // pods and pod templates
  std::vector<std::string> messages;  // "Deployment default/web: why not", warnings
};

// `text`: YAML (several documents) or JSON. Pods and whatever has a pod template (Deployment,
// StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job, CronJob), alone or in a List, get
// their sidecar; documents in which nothing changes come out byte for byte. Error: the document,
// and what is wrong there.
absl::StatusOr<InjectedManifests> InjectManifests(absl::string_view text,
                                                  absl::string_view default_namespace,
                                                  const InjectSettings& settings);

}  // namespace meltemi::pilot
