#include "base/http/server/https_server.h"

#include <utility>

namespace meltemi::http {
namespace {

absl::StatusOr<std::shared_ptr<const tls::Context>> ContextFor(const tls::KeyPair& identity) {
  tls::ServerOptions options;
  options.identity = identity;
  options.alpn = {"h2", "http/1.1"};
  return tls::NewServerContext(options);
}

class Server final : public HttpsServer {
 public:
  explicit Server(std::shared_ptr<const tls::Context> context) : context_(std::move(context)) {}

  absl::Status Start(Loop& loop, const net::Address& address, WebHandler handler,
                     const WebServerOptions& options) {
    const auto accept = [this](Loop& on, int fd, const net::Address& remote) {
      std::unique_ptr<tls::Connection> connection =
          tls::NewServerConnection(on, fd, remote, net::ConnectionLimits(), context_);
      const tls::Connection* const raw = connection.get();
      return WebConnection{
          std::move(connection),
          [raw] { return raw->session().alpn == "h2" ? Protocol::kHttp2 : Protocol::kHttp11; }};
    };
    absl::StatusOr<std::unique_ptr<WebServer>> server =
        ListenWeb(loop, address, std::move(handler), options, accept);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return absl::OkStatus();
  }

  absl::Status SetIdentity(const tls::KeyPair& identity) override {
    absl::StatusOr<std::shared_ptr<const tls::Context>> context = ContextFor(identity);
    if (!context.ok()) return context.status();
    context_ = *std::move(context);
    return absl::OkStatus();
  }
  const WebServer& server() const override { return *server_; }

 private:
  std::shared_ptr<const tls::Context> context_;
  std::unique_ptr<WebServer> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpsServer>> ListenHttps(Loop& loop, const net::Address& address,
                                                         const tls::KeyPair& identity,
                                                         WebHandler handler,
                                                         const WebServerOptions& options) {
  absl::StatusOr<std::shared_ptr<const tls::Context>> context = ContextFor(identity);
  if (!context.ok()) return context.status();
  auto server = std::make_unique<Server>(*std::move(context));
  const absl::Status status = server->Start(loop, address, std::move(handler), options);
  if (!status.ok()) return status;
  return server;
}

}  // namespace meltemi::http
