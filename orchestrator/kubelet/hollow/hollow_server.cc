#include "orchestrator/kubelet/hollow/hollow_server.h"

#include <algorithm>
#include <shared_mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/apiserver/http/server.h"
#include "orchestrator/apiserver/watch/no_watches.h"

namespace meltemi::kubelet {
namespace {

using apiserver::Body;
using apiserver::Reply;
using apiserver::Request;

// No colon before a blank: kubectl would read a mapping of YAML, and show nothing of it.
constexpr char kNoProcesses[] =
    "this is a hollow node, whose containers have no processes to run commands in, to attach to or "
    "to forward ports to\n";

Body Text(int code, std::string text) {
  return {.code = code, .content_type = "text/plain; charset=utf-8", .bytes = std::move(text)};
}

kube::Outcome MastersOnly(const Request& request) {
  if (!request.certificate.has_value()) return kube::Unauthorized();
  const std::vector<std::string>& groups = request.certificate->organizations;
  if (std::find(groups.begin(), groups.end(), "system:masters") != groups.end()) {
    return kube::Done{};
  }
  return kube::GenericStatus(403, "Forbidden");
}

absl::string_view SubresourceOf(absl::string_view path) {
  if (absl::StartsWith(path, "/stats/")) return "stats";
  if (absl::StartsWith(path, "/metrics")) return "metrics";
  return "proxy";
}

// "127.1.0.1" of "127.1.0.1:10250".
absl::string_view HostOf(const Request& request) {
  const absl::string_view authority = request.Header("host");
  return authority.substr(0, authority.rfind(':'));
}

class Server final : public HollowServer, private apiserver::Handler {
 public:
  explicit Server(HollowServerOptions options) : options_(std::move(options)) {}
  ~Server() override {
    if (server_ != nullptr) server_->Stop(seconds(1));
  }

  absl::Status Start(const Clock& clock) {
    apiserver::ServerOptions serving;
    serving.address = options_.address;
    serving.loops = 1;
    serving.tls.identity = options_.identity;
    serving.tls.alpn = {"h2", "http/1.1"};
    if (!options_.client_ca_pem.empty()) {
      serving.tls.peer = tls::PeerCertificate::kOptional;
      serving.tls.client_ca_pem = options_.client_ca_pem;
    }
    serving.body_bytes_max = 64 * 1024;
    serving.reads_in_flight_max = 64;
    serving.writes_in_flight_max = 8;
    absl::StatusOr<std::unique_ptr<apiserver::Server>> server =
        apiserver::StartServer(serving, clock, *this, no_watches_);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return absl::OkStatus();
  }

  uint16_t port() const override { return server_->address().port(); }
  void SetNodes(HollowNodes* nodes) override {
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    nodes_ = nodes;
  }

 private:
  Reply Handle(Request& request) override {
    const std::string& path = request.info.path;
    const absl::string_view node = HostOf(request);
    const bool reads = request.method == "GET" && request.Header("upgrade").empty();
    const kube::Outcome allowed =
        options_.authorize
            ? options_.authorize(request, reads ? "get" : "create", node, SubresourceOf(path))
            : MastersOnly(request);
    if (!allowed.ok()) return Text(allowed.status().code, allowed.status().message + "\n");
    for (const absl::string_view stream : {"/exec/", "/attach/", "/portForward/", "/run/"}) {
      if (absl::StartsWith(path, stream)) return Text(501, kNoProcesses);
    }
    if (!reads) return Text(405, "405 method not allowed\n");
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    if (nodes_ == nullptr) return Text(503, "the nodes are not there\n");
    HollowNodes::Page page = nodes_->Get(node, path);
    return Body{.code = page.code,
                .content_type = std::move(page.content_type),
                .bytes = std::move(page.bytes)};
  }

  const HollowServerOptions options_;
  apiserver::NoWatches no_watches_;
  std::shared_mutex mutex_;
  HollowNodes* nodes_ = nullptr;  // guarded by mutex_
  std::unique_ptr<apiserver::Server> server_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HollowServer>> StartHollowServer(const HollowServerOptions& options,
                                                                const Clock& clock) {
  auto server = std::make_unique<Server>(options);
  if (absl::Status status = server->Start(clock); !status.ok()) return status;
  return server;
}

}  // namespace meltemi::kubelet
