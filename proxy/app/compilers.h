// proxy/config/compile behind the seam that proxy/config/xds asks for.
#pragma once

#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "proxy/config/xds/compiler.h"

namespace meltemi::proxy {

class LogSinks;
class SecretStore;
class TlsSockets;
struct CompileContext;

// Main loop only.
class Compilers final : public Compiler {
 public:
  // `secrets` outlives what is compiled.
  Compilers(std::string node_id, SecretStore& secrets);
  ~Compilers() override;

  absl::StatusOr<ClusterResource> Compile(
      const envoy::config::cluster::v3::Cluster& cluster) override;
  absl::StatusOr<std::shared_ptr<const EndpointsConfig>> Compile(
      const envoy::config::endpoint::v3::ClusterLoadAssignment& endpoints) override;
  absl::StatusOr<std::shared_ptr<const ListenerConfig>> Compile(
      const envoy::config::listener::v3::Listener& listener) override;
  absl::StatusOr<std::shared_ptr<const RouteTable>> Compile(
      const envoy::config::route::v3::RouteConfiguration& routes) override;

  // Called (from the loop) when certificates or roots that somebody waits for are there.
  void OnSecretsReady(absl::AnyInvocable<void()> callback);

  // Closes and opens the files of access logs (log rotation).
  void ReopenLogs();

 private:
  std::unique_ptr<LogSinks> log_sinks_;
  std::unique_ptr<TlsSockets> tls_sockets_;
  std::unique_ptr<CompileContext> context_;
};

}  // namespace meltemi::proxy
