#include "proxy/app/compilers.h"

#include <unistd.h>

#include <utility>

#include "proxy/config/compile/cluster.h"
#include "proxy/config/compile/context.h"
#include "proxy/config/compile/endpoints.h"
#include "proxy/config/compile/listener.h"
#include "proxy/config/compile/route.h"
#include "proxy/observe/log_sink.h"
#include "proxy/transport/tls_socket.h"

namespace meltemi::proxy {
namespace {

// What %HOSTNAME% and %ENVIRONMENT(X)% stand for: read once, here.
FormatEnvironment ReadEnvironment() {
  FormatEnvironment environment;
  char name[256] = {};
  if (gethostname(name, sizeof(name) - 1) == 0) environment.hostname = name;
  for (char** variable = environ; variable != nullptr && *variable != nullptr; ++variable) {
    const std::string text = *variable;
    const size_t equals = text.find('=');
    if (equals == std::string::npos) continue;
    environment.variables.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

}  // namespace

Compilers::Compilers(std::string node_id, SecretStore& secrets)
    : log_sinks_(std::make_unique<LogSinks>()),
      tls_sockets_(std::make_unique<TlsSockets>(secrets)),
      context_(std::make_unique<CompileContext>(CompileContext{
          *log_sinks_, ReadEnvironment(), std::move(node_id), secrets, tls_sockets_.get()})) {}

Compilers::~Compilers() = default;

absl::StatusOr<ClusterResource> Compilers::Compile(
    const envoy::config::cluster::v3::Cluster& cluster) {
  absl::StatusOr<CompiledCluster> compiled = CompileCluster(cluster, tls_sockets_.get());
  if (!compiled.ok()) return compiled.status();
  return ClusterResource{std::move(compiled->config), std::move(compiled->endpoints)};
}

absl::StatusOr<std::shared_ptr<const EndpointsConfig>> Compilers::Compile(
    const envoy::config::endpoint::v3::ClusterLoadAssignment& endpoints) {
  return CompileEndpoints(endpoints);
}

absl::StatusOr<std::shared_ptr<const ListenerConfig>> Compilers::Compile(
    const envoy::config::listener::v3::Listener& listener) {
  return CompileListener(listener, *context_);
}

absl::StatusOr<std::shared_ptr<const RouteTable>> Compilers::Compile(
    const envoy::config::route::v3::RouteConfiguration& routes) {
  return CompileRouteTable(routes, *context_);
}

void Compilers::OnSecretsReady(absl::AnyInvocable<void()> callback) {
  tls_sockets_->OnReady(std::move(callback));
}

void Compilers::ReopenLogs() { log_sinks_->Reopen(); }

}  // namespace meltemi::proxy
