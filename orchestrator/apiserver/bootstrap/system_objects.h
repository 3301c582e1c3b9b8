// What every cluster has from the start: the namespaces default, kube-system, kube-public and
// kube-node-lease, the two system priority classes, the storage class of nodes' own disks, and the
// Service `kubernetes` in default with the addresses of the API servers.
//
// Threads: blocks; call it off the loops.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "base/clock/clock.h"
#include "orchestrator/apiserver/kinds/resource.h"
#include "orchestrator/apiserver/verbs/objects.h"

namespace meltemi::apiserver {

struct SystemObjectsOptions {
  std::string service_ip;         // the first of the service range
  std::string advertise_address;  // of this API server
  uint16_t port = 6443;
  // "local-path", the default: controllers/volumes makes its volumes.
  bool storage_class = true;
};

// Creates what is missing and corrects the endpoints; may be called again at any time. The first
// error ends it.
absl::Status EnsureSystemObjects(const SystemObjectsOptions& options, const CatalogSource& catalogs,
                                 Objects& objects, const Clock& clock);

}  // namespace meltemi::apiserver
