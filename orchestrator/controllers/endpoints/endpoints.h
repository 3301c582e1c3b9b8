// Tells which pods are behind a Service.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/endpoint, endpointslice.
#pragma once

#include <memory>

namespace meltemi::controllers {

struct Context;
class Running;

// Endpoints.
std::unique_ptr<Running> NewEndpointsController(Context& context);
// EndpointSlices.
std::unique_ptr<Running> NewEndpointSliceController(Context& context);
// EndpointSlices of Endpoints that somebody has written by hand, for services without a selector.
std::unique_ptr<Running> NewEndpointSliceMirroringController(Context& context);

}  // namespace meltemi::controllers
