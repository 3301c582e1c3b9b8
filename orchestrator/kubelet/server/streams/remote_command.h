// exec and attach: a client that speaks WebSocket (v5.channel.k8s.io or v4), a runtime that speaks
// SPDY/3.1 (v4.channel.k8s.io).
//
//     message's first byte     0      1       2       3      4       255
//     stream                   stdin  stdout  stderr  error  resize  closes the one it names (v5)
//
// The error stream brings metav1.Status as JSON before the end. Threads: see translator.h. Source:
// k8s.io/apimachinery/pkg/util/remotecommand; client-go/tools/remotecommand.
#pragma once

#include <memory>
#include <string>

#include "orchestrator/apiserver/http/translator.h"
#include "orchestrator/kubelet/cri/runtime.h"

namespace meltemi::kubelet {

// `key`: the client's Sec-WebSocket-Key; `protocol`: what it is answered. The runtime has been
// given the same `options`.
std::shared_ptr<apiserver::Translator> NewRemoteCommandTranslator(
    const std::string& key, const std::string& protocol, const Runtime::StreamOptions& options);

}  // namespace meltemi::kubelet
