// The API server as a whole: builds the graph of its parts and starts them in order.
//
// Threads: Start, Stop and destruction on one thread; see the parts for theirs.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "orchestrator/app/apiserver_options.h"

namespace meltemi::orchestrator {

class ApiServer {
 public:
  virtual ~ApiServer() = default;
  // "https://127.0.0.1:6443"
  virtual const std::string& url() const = 0;
  // Where the administrator's kubeconfig was written.
  virtual const std::string& kubeconfig_path() const = 0;
  // Takes no new requests, lets those in flight end, closes the store.
  virtual void Stop() = 0;
};

// Error: what could not be opened, read or bound, and what to do. `clock` outlives the server.
absl::StatusOr<std::unique_ptr<ApiServer>> StartApiServer(const ApiServerOptions& options,
                                                          const Clock& clock);

}  // namespace meltemi::orchestrator
