// A log for a client that speaks WebSocket: what is read becomes messages, what the client says is
// nothing.
//
// Threads: see translator.h. Source: k8s.io/apimachinery/pkg/util/httpstream/wsstream's Reader.
#pragma once

#include <memory>

#include "kube/status/status.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/apiserver/http/translator.h"

namespace meltemi::kubelet {

// Of binary.k8s.io, base64.binary.k8s.io, or none. Error: the handshake lacks something, or nothing
// that is offered is spoken here.
kube::Result<std::shared_ptr<apiserver::Translator>> NewLogTranslator(
    const apiserver::Request& request);

}  // namespace meltemi::kubelet
