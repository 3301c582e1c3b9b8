// Addresses of Services.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/servicelb.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace meltemi::controllers {

struct Context;
class Running;

// Gives Services of type LoadBalancer addresses from a pool: addresses, ranges
// ("10.0.0.10-10.0.0.20") and CIDRs; empty: such Services stay pending.
std::unique_ptr<Running> NewLoadBalancerController(Context& context,
                                                   const std::vector<std::string>& pool);

}  // namespace meltemi::controllers
