// Puts the mesh's root into the ConfigMap `istio-ca-root-cert` of every namespace, where pods mount
// it. Run by the leader alone; converges again after whatever others do to it.
//
// Threads: the executor's. Source: Istio's namespace controller.
#pragma once

#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace meltemi::kube {
class Client;
class Executor;
}  // namespace meltemi::kube

namespace meltemi::pilot {

inline constexpr absl::string_view kRootsConfigMap = "istio-ca-root-cert";
inline constexpr absl::string_view kRootsKey = "root-cert.pem";

// Ends when destroyed.
class RootsPublisher {
 public:
  virtual ~RootsPublisher() = default;
};

std::unique_ptr<RootsPublisher> StartRootsPublisher(kube::Client& client, kube::Executor& executor,
                                                    std::string roots_pem);

}  // namespace meltemi::pilot
