// The client over HTTPS: one HTTP/2 connection per loop thread for calls, shared by all callers,
// and one for watches; connections that fail are made again.
//
// Threads: thread-safe (client.h). Its loop threads live as long as it does.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "kube/client/client.h"
#include "kube/client/kubeconfig.h"

namespace meltemi::kube {

struct HttpClientOptions {
  // "meltemi-orchestrator/controller-manager"; also the default field manager.
  std::string user_agent;
  // More calls than these wait for their turn.
  size_t calls_in_flight_max = 128;
  size_t answer_bytes_max = 1024 * 1024 * 1024;
  // A watch of which nothing comes, no bookmark either, is ended and begun again by its owner; a
  // connection that answers no PING within this time is given up.
  Duration ping_interval = seconds(15);
};

// Error: what is wrong with the configuration (files that can't be read, PEM that is none). A
// server that does not answer is no error here: calls tell it. `clock` outlives it.
absl::StatusOr<std::unique_ptr<Client>> NewHttpClient(const ClusterAccess& access,
                                                      const Clock& clock,
                                                      const HttpClientOptions& options);

}  // namespace meltemi::kube
