#include "proxy/app/probes/probe_server.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/tls/tls.h"

namespace meltemi::proxy {
namespace {

// The kubelet closes what it has asked; lifecycle hooks may take long.
constexpr Duration kReplyTimeout = seconds(660);
constexpr size_t kBodyBytesMax = 4096;

http::WebResponse Text(int status, absl::string_view text) {
  return {.status = status, .body = absl::StrCat(text, "\n")};
}

absl::StatusOr<ProbeTarget> TargetFor(const ProbeServerOptions& options) {
  ProbeTarget target;
  target.address = net::Address::Loopback4(0);
  if (!options.pod_ip.empty()) {
    absl::StatusOr<net::Address> address = net::Address::FromIp(options.pod_ip, 0);
    if (!address.ok()) return address.status();
    target.address = *address;
  }
  // IPv6 has one loopback address alone.
  if (target.address.family() == AF_INET) target.source = *net::Address::FromIp("127.0.0.6", 0);
  tls::ClientOptions tls_options;
  tls_options.peer = tls::PeerCertificate::kNone;
  absl::StatusOr<std::shared_ptr<const tls::Context>> context = tls::NewClientContext(tls_options);
  if (!context.ok()) return context.status();
  target.tls = *std::move(context);
  return target;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ProbeServer>> ProbeServer::Listen(Loop& loop,
                                                                 ProbeServerOptions options) {
  absl::StatusOr<ProbeTarget> target = TargetFor(options);
  if (!target.ok()) return target.status();
  const net::Address address = options.address;
  std::unique_ptr<ProbeServer> probes(
      new ProbeServer(loop, std::move(options), *std::move(target)));
  http::WebServerOptions limits;
  limits.body_bytes_max = kBodyBytesMax;
  limits.reply_timeout = kReplyTimeout;
  absl::StatusOr<std::unique_ptr<http::WebServer>> server = http::ListenWeb(
      loop, address,
      [raw = probes.get()](http::WebRequest request, http::WebReply reply) {
        raw->Handle(std::move(request), std::move(reply));
      },
      limits);
  if (!server.ok()) {
    return absl::Status(server.status().code(),
                        absl::StrCat("the probe server can't listen on ", address.ToString(), ": ",
                                     server.status().message()));
  }
  probes->server_ = *std::move(server);
  return probes;
}

ProbeServer::ProbeServer(Loop& loop, ProbeServerOptions options, ProbeTarget target)
    : loop_(loop), options_(std::move(options)), target_(std::move(target)) {}

ProbeServer::~ProbeServer() = default;

void ProbeServer::Handle(http::WebRequest request, http::WebReply reply) {
  const auto probe = options_.probes.find(request.path);
  if (probe != options_.probes.end()) return Check(probe->second, request, std::move(reply));
  if (request.path == "/healthz/ready") {
    const bool ready = options_.ready();
    return reply(Text(ready ? 200 : 503, ready ? "" : "not ready"));
  }
  if (request.path == "/stats/prometheus") {
    return reply({.status = 200,
                  .body = options_.stats(),
                  .content_type = "text/plain; version=0.0.4; charset=utf-8"});
  }
  if (request.path != "/drain" && request.path != "/quitquitquit") {
    return reply(Text(404, "There is no such probe."));
  }
  if (request.method != "POST") return reply(Text(405, "This takes POST."));
  if (!request.remote.is_loopback()) return reply(Text(403, "Only from within the pod."));
  reply(Text(200, "OK"));
  request.path == "/drain" ? options_.drain() : options_.quit();
}

void ProbeServer::Check(const AppProbe& probe, const http::WebRequest& request,
                        http::WebReply reply) {
  if (running_.size() >= options_.probes_running_max) {
    return reply(Text(503, "Too many probes at a time."));
  }
  const uint64_t id = next_id_++;
  running_[id] = StartProbe(
      loop_, target_, probe, request.headers.get(),
      [this, id, path = request.path, reply = std::move(reply)](const ProbeResult& result) {
        if (!result.why.empty()) LOG(kDebug, "probes", path, ": ", result.why);
        reply(Text(result.status, result.why));
        running_.erase(id);
      });
}

}  // namespace meltemi::proxy
