#include "orchestrator/kubelet/server/kubelet_server.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kube/codec/codec.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/apiserver/http/server.h"
#include "orchestrator/apiserver/watch/no_watches.h"
#include "orchestrator/kubelet/server/container_logs.h"
#include "orchestrator/kubelet/server/runtime_streams.h"
#include "orchestrator/kubelet/server/text_reply.h"

namespace meltemi::kubelet {
namespace {

using apiserver::Body;
using apiserver::Reply;
using apiserver::Request;

constexpr char kPrometheusText[] = "text/plain; version=0.0.4; charset=utf-8";

kube::Outcome MastersOnly(const Request& request) {
  if (!request.certificate.has_value()) return kube::Unauthorized();
  const std::vector<std::string>& groups = request.certificate->organizations;
  if (std::find(groups.begin(), groups.end(), "system:masters") != groups.end()) {
    return kube::Done{};
  }
  return kube::GenericStatus(403, "Forbidden");
}

absl::string_view VerbOf(absl::string_view method) {
  if (method == "POST") return "create";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  if (method == "DELETE") return "delete";
  return method == "GET" ? "get" : "";
}

bool IsBelow(absl::string_view path, absl::string_view folder) {
  return path == folder || (absl::StartsWith(path, folder) && path[folder.size()] == '/');
}

absl::string_view SubresourceOf(absl::string_view path) {
  if (IsBelow(path, "/stats")) return "stats";
  if (IsBelow(path, "/metrics")) return "metrics";
  if (IsBelow(path, "/logs")) return "log";
  if (IsBelow(path, "/checkpoint")) return "checkpoint";
  return "proxy";
}

class Server final : public KubeletServer, private apiserver::Handler {
 public:
  Server(const KubeletServerOptions& options, const Clock& clock, const Pods& pods,
         Runtime& runtime, Stats& stats, metrics::Registry& metrics)
      : options_(options),
        clock_(clock),
        pods_(pods),
        runtime_(runtime),
        stats_(stats),
        metrics_(metrics) {}
  ~Server() override {
    if (server_ != nullptr) server_->Stop(seconds(1));
  }

  absl::Status Start() {
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
    serving.connections_max = 5000;
    absl::StatusOr<std::unique_ptr<apiserver::Server>> server =
        apiserver::StartServer(serving, clock_, *this, no_watches_);
    if (!server.ok()) return server.status();
    server_ = *std::move(server);
    return absl::OkStatus();
  }

  uint16_t port() const override { return server_->address().port(); }

 private:
  Reply Handle(Request& request) override;
  Reply Stream(const Request& request, const std::vector<std::string>& parts);
  Reply Page(const Request& request) const;
  Reply Health(absl::string_view check) const;
  Reply PodList() const;
  Reply Configuration() const;

  const KubeletServerOptions options_;
  const Clock& clock_;
  const Pods& pods_;
  Runtime& runtime_;
  Stats& stats_;
  metrics::Registry& metrics_;
  apiserver::NoWatches no_watches_;
  std::unique_ptr<apiserver::Server> server_;
};

Reply Server::Handle(Request& request) {
  const std::string& path = request.info.path;
  const kube::Outcome allowed =
      options_.authorize ? options_.authorize(request, VerbOf(request.method), SubresourceOf(path))
                         : MastersOnly(request);
  if (!allowed.ok()) return TextReply(allowed.status().code, allowed.status().message);
  const std::vector<std::string> parts = absl::StrSplit(path.substr(1), '/');
  for (const absl::string_view stream : {"exec", "attach", "portForward", "run", "containerLogs"}) {
    if (parts[0] == stream) return Stream(request, parts);
  }
  if (request.method != "GET" && request.method != "HEAD") {
    return TextReply(405, "405: Method Not Allowed");
  }
  return Page(request);
}

// "exec", namespace, pod, perhaps the pod's UID, container.
Reply Server::Stream(const Request& request, const std::vector<std::string>& parts) {
  const std::string& what = parts[0];
  const bool forward = what == "portForward";
  const size_t least = forward ? 3 : 4;
  const bool logs = what == "containerLogs";
  if (parts.size() < least || parts.size() > least + (logs ? 0 : 1)) {
    return TextReply(404, "404: Page Not Found");
  }
  const bool may_get = what != "run", may_post = !logs;
  if (!(request.method == "GET" && may_get) && !(request.method == "POST" && may_post)) {
    return TextReply(405, "405: Method Not Allowed");
  }
  StreamTarget target{.ns = parts[1], .pod = parts[2], .uid = "", .container = ""};
  if (parts.size() > least) target.uid = parts[3];
  if (!forward) target.container = parts.back();
  if (logs) return ContainerLogs(pods_, clock_, request, target.ns, target.pod, target.container);
  if (forward) return PortForward(pods_, runtime_, request, target);
  if (what == "exec") return Exec(pods_, runtime_, request, target);
  if (what == "attach") return Attach(pods_, runtime_, request, target);
  return Run(pods_, runtime_, request, target);
}

Reply Server::Page(const Request& request) const {
  const std::string& path = request.info.path;
  if (path == "/healthz" || absl::StartsWith(path, "/healthz/")) {
    return Health(absl::string_view(path).substr(std::min<size_t>(path.size(), 9)));
  }
  if (path == "/pods" || path == "/pods/") return PodList();
  if (path == "/configz") return Configuration();
  if (path == "/stats/summary") {
    const kube::Result<bool> brief = request.query.Bool("only_cpu_and_memory");
    if (!brief.ok()) return TextReply(400, brief.status().message);
    return Body{.content_type = "application/json", .bytes = stats_.SummaryJson(*brief)};
  }
  if (path == "/metrics") {
    return Body{.content_type = kPrometheusText, .bytes = metrics_.RenderPrometheus()};
  }
  if (path == "/metrics/resource") {
    return Body{.content_type = kPrometheusText, .bytes = stats_.ResourceMetrics()};
  }
  if (path == "/metrics/cadvisor") {
    return Body{.content_type = kPrometheusText, .bytes = stats_.ContainerMetrics()};
  }
  if (path == "/metrics/probes") return Body{.content_type = kPrometheusText, .bytes = ""};
  return TextReply(404, "404: Page Not Found");
}

// `check` "": all of them.
Reply Server::Health(absl::string_view check) const {
  if (check == "ping" || check == "log") return TextReply(200, "ok");
  if (!check.empty() && check != "syncloop") return TextReply(404, "404 page not found\n");
  if (pods_.healthy()) return TextReply(200, "ok");
  constexpr char kLate[] = "sync Loop took longer than expected";
  if (!check.empty()) return TextReply(500, absl::StrCat("internal server error: ", kLate, "\n"));
  return TextReply(500, absl::StrCat("[+]ping ok\n[+]log ok\n[-]syncloop failed: ", kLate,
                                     "\nhealthz check failed\n"));
}

Reply Server::PodList() const {
  std::string out = R"({"kind":"PodList","apiVersion":"v1","metadata":{},"items":[)";
  bool first = true;
  for (const std::shared_ptr<const PodOnNode>& pod : pods_.List()) {
    if (!std::exchange(first, false)) out += ",";
    kube::AppendJson(*pod->pod, &out);
  }
  out += "]}";
  return Body{.content_type = "application/json", .bytes = std::move(out)};
}

// What of KubeletConfiguration is decided here.
Reply Server::Configuration() const {
  return Body{
      .content_type = "application/json",
      .bytes = absl::StrCat(
          R"({"kubeletconfig":{"kind":"KubeletConfiguration",)",
          R"("apiVersion":"kubelet.config.k8s.io/v1beta1","port":)", port(),
          R"(,"authentication":{"anonymous":{"enabled":false},"webhook":{"enabled":true}},)",
          R"("authorization":{"mode":"Webhook"},"enableServer":true,)",
          R"("enableDebuggingHandlers":true}})")};
}

}  // namespace

absl::StatusOr<std::unique_ptr<KubeletServer>> StartKubeletServer(
    const KubeletServerOptions& options, const Clock& clock, const Pods& pods, Runtime& runtime,
    Stats& stats, metrics::Registry& metrics) {
  auto server = std::make_unique<Server>(options, clock, pods, runtime, stats, metrics);
  if (absl::Status status = server->Start(); !status.ok()) return status;
  return server;
}

}  // namespace meltemi::kubelet
