// The HTTPS port of hollow nodes: one for all of them. Each node has an address of its own on the
// loopback network, and whom a request is for is told by the host that it names (its address or its
// name), as HTTP asks of every request.
//
// Threads: made, told of its nodes and destroyed on one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "base/net/address.h"
#include "base/tls/tls.h"
#include "kube/status/status.h"
#include "orchestrator/apiserver/http/request.h"
#include "orchestrator/kubelet/hollow/hollow.h"

namespace meltemi::kubelet {

struct HollowServerOptions {
  net::Address address;       // 0.0.0.0 and the nodes' port
  tls::KeyPair identity;      // what it shows
  std::string client_ca_pem;  // who signs clients' certificates
  // Whether the client may: `verb` "get" or "create" of nodes/SUBRESOURCE ("stats", "metrics",
  // "proxy"). Empty: a verified certificate of system:masters (the API server's own) may.
  std::function<kube::Outcome(const apiserver::Request& request, absl::string_view verb,
                              absl::string_view node, absl::string_view subresource)>
      authorize;
};

class HollowServer {
 public:
  // Ends what is under way.
  virtual ~HollowServer() = default;
  virtual uint16_t port() const = 0;
  // Whom to ask; null: nobody any more (waits for those who are being asked). 503 until then.
  virtual void SetNodes(HollowNodes* nodes) = 0;
};

// `clock` outlives it.
absl::StatusOr<std::unique_ptr<HollowServer>> StartHollowServer(const HollowServerOptions& options,
                                                                const Clock& clock);

}  // namespace meltemi::kubelet
