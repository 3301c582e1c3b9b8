// Addresses of Services.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/servicelb.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace meltemi::controllers {

struct Context;
class Running;

// Services that name another class are somebody else's.
inline constexpr char kLoadBalancerClass[] = "meltemi.io/pool";
// Asks for one address, as spec.loadBalancerIP does.
inline constexpr char kLoadBalancerIpAnnotation[] = "meltemi.io/load-balancer-ip";

// InvalidArgument: which part of the pool is wrong. For who reads options; a controller with a pool
// that is wrong has none.
absl::Status CheckLoadBalancerPool(const std::vector<std::string>& pool);

// Gives Services of type LoadBalancer addresses from a pool: addresses, ranges
// ("10.0.0.10-10.0.0.20") and CIDRs; empty: such Services stay pending.
std::unique_ptr<Running> NewLoadBalancerController(Context& context,
                                                   const std::vector<std::string>& pool);

}  // namespace meltemi::controllers
