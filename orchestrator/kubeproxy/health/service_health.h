// The ports at which load balancers ask whether this node has an endpoint of a service: those of
// services of type LoadBalancer with externalTrafficPolicy Local.
//
// Threads: see the interface. Source: pkg/proxy/healthcheck (answer, headers, event).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/names/names.h"

namespace meltemi::kube {
class EventRecorder;
}  // namespace meltemi::kube

namespace meltemi::kubeproxy {

struct ServiceHealthState {
  kube::NamespacedName service;
  uint16_t port = 0;
  int local_endpoints = 0;  // ready ones on this node

  bool operator==(const ServiceHealthState&) const = default;
};

// The body of the answer.
std::string ServiceHealthAnswer(const ServiceHealthState& state, bool proxy_healthy);

class ServiceHealth {
 public:
  virtual ~ServiceHealth() = default;
  // Opens, closes and updates until these are served and no others; a port that is taken gets an
  // event on its service and is tried again the next time. Calls come one at a time.
  virtual void Serve(const std::vector<ServiceHealthState>& services) = 0;
};

// Answers GET / and /healthz on all addresses: 200 while there is an endpoint and the proxy is
// healthy, else 503. Has a thread of its own from the first service on. `clock` and `recorder`
// outlive it; `proxy_healthy` is called on that thread.
std::unique_ptr<ServiceHealth> NewServiceHealth(const Clock& clock, const std::string& node_name,
                                                kube::EventRecorder& recorder,
                                                std::function<bool()> proxy_healthy);

}  // namespace meltemi::kubeproxy
