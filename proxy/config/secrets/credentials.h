// What a connection to the control plane proves with, and what it demands of the other side: read
// from the files for each connection.
//
// Main loop only.
#pragma once

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "base/grpc/bidi_stream.h"
#include "proxy/config/secrets/credential_files.h"

namespace meltemi::proxy {

class Credentials {
 public:
  explicit Credentials(CredentialFiles files) : files_(std::move(files)) {}

  const CredentialFiles& files() const { return files_; }
  // Sets TLS, the server's name and the token. `host`: that is connected to. Error
  // (FAILED_PRECONDITION): which file is not there or not good.
  absl::Status AddTo(const std::string& host, http::grpc::BidiOptions* options);

 private:
  absl::Status RefreshContext();

  const CredentialFiles files_;
  // Of the texts that `context_` was made from.
  std::string known_;
  std::shared_ptr<const tls::Context> context_;
};

}  // namespace meltemi::proxy
