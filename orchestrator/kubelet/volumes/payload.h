// The files of configMap, secret, downwardAPI and projected volumes.
//
// Threads: thread-safe; blocks on API calls. Source: the documentation of these volumes; the words
// of the errors are the kubelet's.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "orchestrator/kubelet/volumes/api_objects.h"
#include "orchestrator/kubelet/volumes/atomic_writer.h"

namespace meltemi::kube::core::v1 {
class Pod;
class Volume;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

struct Payload {
  VolumeFiles files;
  bool fixed = false;  // it will never be another one
};

// Whether the volume is of one of these kinds.
bool HasPayload(const kube::core::v1::Volume& volume);
// "kubernetes.io~configmap" …: the folder of its kind.
const char* PayloadPlugin(const kube::core::v1::Volume& volume);
// Whether it stays in memory: what may be a secret.
bool PayloadInMemory(const kube::core::v1::Volume& volume);

// `age_max`: how old what is read may be. Error: Unavailable when the API server can't tell now;
// else why there is none.
absl::StatusOr<Payload> MakePayload(const kube::core::v1::Pod& pod,
                                    const kube::core::v1::Volume& volume,
                                    const std::string& node_name, ApiObjects& api,
                                    Duration age_max);

}  // namespace meltemi::kubelet
