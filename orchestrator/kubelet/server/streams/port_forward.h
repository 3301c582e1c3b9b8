// port-forward: SPDY/3.1 within the messages of a WebSocket, for a runtime that speaks SPDY/3.1 as
// it is. What is within passes untouched.
//
// Threads: see translator.h. Source: client-go/tools/portforward's tunnelling connection.
#pragma once

#include <memory>
#include <string>

#include "orchestrator/apiserver/http/translator.h"

namespace meltemi::kubelet {

// `key`: the client's Sec-WebSocket-Key.
std::shared_ptr<apiserver::Translator> NewPortForwardTranslator(const std::string& key);

}  // namespace meltemi::kubelet
