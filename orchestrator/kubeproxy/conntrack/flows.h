// Flows of UDP that go on to where nothing serves any more.
//
// The kernel translates the packets of a flow as it did the first one, and a UDP flow ends with
// silence alone: a client that keeps asking would ask a pod that is gone for ever. So such flows
// are forgotten; the next packet begins a new one.
//
// Threads: see the interface. Source: pkg/proxy/conntrack (which flows are stale).
#pragma once

#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "orchestrator/kubeproxy/model/rules.h"

namespace meltemi::kubeproxy {

class Flows {
 public:
  virtual ~Flows() = default;
  // Forgets flows to addresses and node ports of these services, as they were or are, whose
  // endpoint does not serve. Blocks; one call at a time.
  virtual absl::Status Forget(const std::vector<ServiceChange>& changes) = 0;
};

// With the `conntrack` program.
std::unique_ptr<Flows> NewFlows();

}  // namespace meltemi::kubeproxy
