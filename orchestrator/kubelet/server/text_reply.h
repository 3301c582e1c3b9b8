// The kubelet's errors: plain text, which the API server or the client puts words around.
//
// Threads: functions without state.
#pragma once

#include <string>

#include "orchestrator/apiserver/http/request.h"

namespace meltemi::kubelet {

inline apiserver::Reply TextReply(int code, std::string text) {
  return apiserver::Body{
      .code = code, .content_type = "text/plain; charset=utf-8", .bytes = std::move(text)};
}

}  // namespace meltemi::kubelet
