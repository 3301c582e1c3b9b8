// Makes a check of an application in our own pod, as the kubelet would from outside.
//
// Loop-owned (main loop). Whoever links it also links one of the builds of //base/tls.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "base/http/header_map.h"
#include "base/loop/loop.h"
#include "base/net/address.h"
#include "proxy/app/probes/app_probe.h"

namespace meltemi::tls {
class Context;
}

namespace meltemi::proxy {

struct ProbeResult {
  int status = 500;  // the application's own; 200 and 500 where it has none
  std::string why;   // of a failure that is ours to tell
};

class ProbeCall {
 public:
  virtual ~ProbeCall() = default;
};

struct ProbeTarget {
  net::Address address;  // of the pod; the port is the probe's
  // Unset: the kernel's. 127.0.0.6: the address from which the proxy's own connections into its pod
  // come, which the redirect rules leave alone.
  net::Address source;
  std::shared_ptr<const tls::Context> tls;  // for applications with TLS: verifies nothing
};

// `request`: what the kubelet has sent; its User-Agent and Accept go on, unless the probe has its
// own. Redirections to the same host are followed, ten at most; others count as success, as the
// kubelet has it. `done` is called once, from the loop; destroying cancels.
std::unique_ptr<ProbeCall> StartProbe(Loop& loop, const ProbeTarget& target, const AppProbe& probe,
                                      const http::HeaderMap* request,
                                      absl::AnyInvocable<void(ProbeResult)> done);

}  // namespace meltemi::proxy
