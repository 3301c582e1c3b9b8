// What another server says (a kubelet), passed on as it comes; after an upgrade, bytes both ways.
//
// Loop-owned. Back-pressure goes through it in both directions: whoever can't take more holds the
// other one back.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "base/http/codec.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/http/answer.h"
#include "orchestrator/apiserver/http/server_context.h"

namespace meltemi::apiserver {

class ProxiedAnswer : public Answer {
 public:
  // What to answer instead when the peer does not. Called at most once, from the loop, before a
  // head was sent; the callee deletes the answer through the loop.
  using Failed = absl::AnyInvocable<void(const kube::Status& status)>;

  // Connects and asks. Precondition of the rest: Start has succeeded.
  virtual kube::Outcome Start(const Request& request, const ProxyAnswer& proxy) = 0;
};

std::unique_ptr<ProxiedAnswer> NewProxiedAnswer(LoopContext& context, http::Stream& client,
                                                ProxiedAnswer::Failed on_failed);

}  // namespace meltemi::apiserver
