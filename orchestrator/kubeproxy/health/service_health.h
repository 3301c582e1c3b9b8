// The ports at which load balancers ask whether this node has an endpoint of a service: those of
// services of type LoadBalancer with externalTrafficPolicy Local.
//
// Threads: see the interface. Source: pkg/proxy/healthcheck (path, answer, headers).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kube/names/names.h"
#include "orchestrator/kubeproxy/model/rules.h"

namespace meltemi::kubeproxy {

struct ServiceHealthState {
  kube::NamespacedName service;
  uint16_t port = 0;
  int local_endpoints = 0;  // ready ones on this node

  bool operator==(const ServiceHealthState&) const = default;
};

// The body of the answer: 200 when `endpoints` > 0 and the proxy is healthy, else 503.
std::string ServiceHealthAnswer(const kube::NamespacedName& service, int endpoints,
                                bool proxy_healthy);

class ServiceHealth {
 public:
  virtual ~ServiceHealth() = default;
  // Opens, closes and updates until these are served and no others. Calls come one at a time.
  virtual void Serve(const std::vector<ServiceHealthState>& services) = 0;
};

}  // namespace meltemi::kubeproxy
