// exec, attach and port-forward: the runtime is asked for a URL, and the client is connected with
// it: as it is where it speaks SPDY/3.1 or the old WebSocket protocols, translated where it speaks
// the newer ones (streams/).
//
// Threads: thread-safe; blocks on the runtime. Source: pkg/kubelet/server's getExec, getAttach,
// getPortForward, getRun.
#pragma once

#include <string>

#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/kubelet/cri/runtime.h"
#include "orchestrator/kubelet/pods/pods.h"

namespace meltemi::kubelet {

// /exec/NAMESPACE/POD[/UID]/CONTAINER and its like.
struct StreamTarget {
  std::string ns, pod, uid, container;
};

apiserver::Reply Exec(const Pods& pods, Runtime& runtime, const apiserver::Request& request,
                      const StreamTarget& target);
apiserver::Reply Attach(const Pods& pods, Runtime& runtime, const apiserver::Request& request,
                        const StreamTarget& target);
apiserver::Reply PortForward(const Pods& pods, Runtime& runtime, const apiserver::Request& request,
                             const StreamTarget& target);
// A command without streams: its output is the answer.
apiserver::Reply Run(const Pods& pods, Runtime& runtime, const apiserver::Request& request,
                     const StreamTarget& target);

}  // namespace meltemi::kubelet
