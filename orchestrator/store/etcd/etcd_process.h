// A real etcd of one member, as a child process in a folder of its own, for tests. It ends with
// this object, and with the test's process.
//
// Threads: one at a time.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace meltemi::store {

struct EtcdProcessOptions {
  std::string folder;  // for its data; exists
  bool tls = false;    // with a certificate that it signs itself
};

class EtcdProcess {
 public:
  // Error: NotFound, when there is no etcd on this machine.
  static absl::StatusOr<std::unique_ptr<EtcdProcess>> Start(const EtcdProcessOptions& options);
  ~EtcdProcess();

  std::string endpoint() const;
  // Of `tls`: who signs its certificate.
  std::string ca_pem() const;
  // kill -9, and again on the same port with the same data.
  void Kill();
  absl::Status Restart();

 private:
  EtcdProcess(const EtcdProcessOptions& options, int client_port, int peer_port)
      : options_(options), client_port_(client_port), peer_port_(peer_port) {}
  absl::Status Launch();

  const EtcdProcessOptions options_;
  const int client_port_, peer_port_;
  pid_t pid_ = -1;
};

}  // namespace meltemi::store
