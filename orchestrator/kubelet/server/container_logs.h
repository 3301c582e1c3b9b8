// GET /containerLogs/NAMESPACE/POD/CONTAINER: what a container has said, and says.
//
// Threads: thread-safe; reads local files. Source: pkg/kubelet's GetKubeletContainerLogs.
#pragma once

#include <string>

#include "base/clock/clock.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/kubelet/pods/pods.h"

namespace meltemi::kubelet {

// Both outlive the answer.
apiserver::Reply ContainerLogs(const Pods& pods, const Clock& clock,
                               const apiserver::Request& request, const std::string& ns,
                               const std::string& pod, const std::string& container);

}  // namespace meltemi::kubelet
