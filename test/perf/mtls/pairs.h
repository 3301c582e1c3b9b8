// A client and a server without sidecars, with meltemi-proxy on both sides, and with Envoy on both
// sides: pods of one mesh, configured by one pilot over ADS.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "test/machine/mesh.h"
#include "test/perf/mtls/secret_server.h"

namespace meltemi::bench {

struct PairOptions {
  uint32_t concurrency = 2;  // workers of each proxy
  uint32_t services = 100;   // that every sidecar knows beside those that are asked
};

struct Pair {
  std::string name;                // "direct", "meltemi", "envoy"
  machine::Pod* client = nullptr;  // owned by the mesh
  machine::Pod* server = nullptr;
  std::string url;
  std::string url_new_connections;  // one TLS connection between the sidecars per request; "": none
  std::vector<pid_t> sidecars;      // the client's, the server's; none of "direct"
};

class Pairs {
 public:
  // Everything is up, configured and has been asked once. `folder`: a fresh one, for logs and
  // sockets. Error: what did not come up, and the end of its log.
  static absl::StatusOr<std::unique_ptr<Pairs>> Start(const machine::Programs& programs,
                                                      const std::string& folder,
                                                      const PairOptions& options);
  std::vector<Pair>& all() { return pairs_; }

 private:
  Pairs(const PairOptions& options, const std::string& folder);
  void ApplyMesh();
  absl::Status AddPair(const std::string& name);
  absl::StatusOr<machine::Pod*> AddPod(const std::string& name, const std::string& proxy);
  std::string Bootstrap(const machine::Pod& pod, const std::string& proxy) const;
  std::vector<std::string> Command(const machine::Pod& pod, const std::string& proxy) const;
  absl::Status StartServer(machine::Pod& pod) const;
  absl::Status Check(const Pair& pair) const;

  const PairOptions options_;
  const std::string folder_, socket_;
  const Identity identity_;
  SecretServer secrets_;
  std::unique_ptr<machine::Mesh> mesh_;
  std::vector<Pair> pairs_;
};

}  // namespace meltemi::bench
