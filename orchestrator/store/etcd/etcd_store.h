// The store (store.h) in an etcd v3 cluster, over gRPC.
//
// Threads: as store.h; one thread per watch. A member that does not answer is left for the next
// one.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "orchestrator/store/store.h"

namespace meltemi::store {

struct EtcdOptions {
  // "https://10.0.0.1:2379", "http://localhost:2379", or "host:port" (https when there is a CA).
  std::vector<std::string> endpoints;
  // PEM text, not file names. ca: who signs the members' certificates; certificate and key: ours.
  std::string ca_pem, certificate_pem, key_pem;
  Duration request_timeout = seconds(5);
};

// Connects in the background: a cluster that is down makes calls fail with Unavailable and is no
// error here. Errors: no endpoint, or one that is none.
absl::StatusOr<std::unique_ptr<Store>> OpenEtcdStore(const EtcdOptions& options);

}  // namespace meltemi::store
