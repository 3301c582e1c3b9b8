#include "proxy/app/admin/admin_servers.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/http/server/debug_server.h"
#include "proxy/app/admin/admin.h"

namespace meltemi::proxy {
namespace {

AdminRequest FromDebug(const http::DebugRequest& from) {
  AdminRequest request = ParseAdminTarget(from.method, absl::StrCat(from.path, "?", from.query));
  request.body = std::string(from.body);
  return request;
}

http::DebugResponse ToDebug(AdminResponse from) {
  return {
      .status = from.status,
      .body = std::move(from.body),
      .content_type = std::move(from.content_type),
      .fields = {{"cache-control", "no-cache, max-age=0"}, {"x-content-type-options", "nosniff"}}};
}

}  // namespace

AdminServers::AdminServers(Loop& loop, Admin& admin) : loop_(loop), admin_(admin) {}
AdminServers::~AdminServers() = default;

absl::Status AdminServers::Listen(absl::string_view what, const net::Address& address,
                                  http::DebugServer** server) {
  absl::StatusOr<std::unique_ptr<http::DebugServer>> listening = http::ListenDebug(loop_, address);
  if (!listening.ok()) {
    return absl::Status(listening.status().code(),
                        absl::StrCat("the ", what, " server can't listen on ", address.ToString(),
                                     ": ", listening.status().message()));
  }
  *server = listening->get();
  servers_.push_back(*std::move(listening));
  return absl::OkStatus();
}

absl::Status AdminServers::ListenAdmin(const net::Address& address) {
  http::DebugServer* server = nullptr;
  if (absl::Status status = Listen("admin", address, &server); !status.ok()) return status;
  admin_address_ = server->address();
  using Methods = http::DebugServer::Methods;
  for (const Admin::PathHelp& page : admin_.paths()) {
    server->Route(page.path, Methods::kAny, page.help, [this](const http::DebugRequest& request) {
      return ToDebug(admin_.Handle(FromDebug(request)));
    });
  }
  return absl::OkStatus();
}

absl::Status AdminServers::ListenStatus(const net::Address& address) {
  http::DebugServer* server = nullptr;
  if (absl::Status status = Listen("status", address, &server); !status.ok()) return status;
  server->Route("/healthz/ready", http::DebugServer::Methods::kGet, "200 when ready for traffic",
                [this](const http::DebugRequest& request) {
                  return ToDebug(admin_.HandleStatus(FromDebug(request)));
                });
  return absl::OkStatus();
}

absl::Status AdminServers::ListenStats(const net::Address& address) {
  http::DebugServer* server = nullptr;
  if (absl::Status status = Listen("stats", address, &server); !status.ok()) return status;
  server->Route("/stats/prometheus", http::DebugServer::Methods::kGet, "in Prometheus' format",
                [this](const http::DebugRequest& request) {
                  return ToDebug(admin_.HandleStats(FromDebug(request)));
                });
  return absl::OkStatus();
}

net::Address AdminServers::admin_address() const { return admin_address_; }

}  // namespace meltemi::proxy
