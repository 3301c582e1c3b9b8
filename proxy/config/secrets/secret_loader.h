// Secrets as configuration has them, into the store: from the xDS stream or the bootstrap, with
// their texts inline or in files, which are read again when they change.
//
// Main loop only. What a secret holds appears in no message.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proxy/config/secrets/files.h"
#include "proxy/config/xds/secret_sink.h"

namespace meltemi::proxy {

class Secrets;

class SecretLoader final : public SecretSink {
 public:
  // Both outlive the loader.
  SecretLoader(FileWatcher& watcher, Secrets& secrets);
  ~SecretLoader() override;

  // --- SecretSink
  std::set<std::string> WantedNames() override;
  absl::Status Set(const envoy::extensions::transport_sockets::tls::v3::Secret& secret,
                   const std::string& version) override;
  absl::Status SetStatic(
      const envoy::extensions::transport_sockets::tls::v3::Secret& secret) override;

 private:
  // A secret that lies in files.
  struct InFiles;
  // No version: of the bootstrap.
  using Version = std::optional<std::string>;
  absl::Status Take(const envoy::extensions::transport_sockets::tls::v3::Secret& original,
                    const Version& version);
  absl::Status Put(const envoy::extensions::transport_sockets::tls::v3::Secret& secret,
                   const Version& version);
  void OnFiles(const std::string& name);

  FileWatcher& watcher_;
  Secrets& secrets_;
  std::map<std::string, std::unique_ptr<InFiles>> in_files_;
};

}  // namespace meltemi::proxy
