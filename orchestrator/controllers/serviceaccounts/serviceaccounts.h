// What pods of every namespace need to talk to the API server.
//
// Threads: made and destroyed on one thread; works on the executor's. Source: the behaviour of
// Kubernetes' pkg/controller/serviceaccount, certificates/rootcacertpublisher.
#pragma once

#include <memory>
#include <string>

namespace meltemi::controllers {

struct Context;
class Running;

// The ServiceAccount `default` of each namespace.
std::unique_ptr<Running> NewServiceAccountController(Context& context);
// The ConfigMap kube-root-ca.crt of each namespace.
std::unique_ptr<Running> NewRootCaPublisher(Context& context, std::string ca_pem);

}  // namespace meltemi::controllers
