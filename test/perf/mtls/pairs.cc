#include "test/perf/mtls/pairs.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json/parse.h"
#include "base/json/value.h"
#include "base/json/write.h"
#include "test/machine/envoy.h"
#include "test/perf/mtls/measure.h"

namespace meltemi::bench {
namespace {

using machine::Pod;
using machine::PodSpec;

constexpr char kDirect[] = "direct", kMeltemi[] = "meltemi", kEnvoy[] = "envoy";
constexpr char kSpiffe[] = "spiffe://cluster.local/ns/default/sa/default";
constexpr int kServerPort = 8080;

// Nobody gets in without the mesh's TLS.
constexpr char kStrict[] = R"(apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec: {mtls: {mode: STRICT}}
)";

// What makes the client's sidecar open a connection for each request.
constexpr char kOnePerConnection[] = R"(apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %1$s, namespace: default}
spec:
  host: %1$s.default.svc.cluster.local
  trafficPolicy: {connectionPool: {http: {maxRequestsPerConnection: 1}}}
)";

constexpr char kService[] = R"(---
apiVersion: v1
kind: Service
metadata: {name: %s, namespace: default}
spec:
  clusterIP: %s
  selector: {app: %s}
  ports: [{name: http, port: 80, targetPort: %d}]
)";

constexpr char kWorkload[] = R"(---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: %1$s, namespace: default}
spec: {address: %2$s, serviceAccount: default, labels: {app: %1$s}}
)";

// Tells the client's identity, as the server's sidecar forwards it.
constexpr char kServer[] = R"(daemon off; user root; worker_processes 1; pid %1$s/%2$s.pid;
error_log stderr crit; worker_rlimit_nofile 65536;
events { worker_connections 20000; }
http { access_log off; keepalive_requests 1000000000; keepalive_timeout 3600s;
  client_body_temp_path %1$s/body; proxy_temp_path %1$s/proxy; fastcgi_temp_path %1$s/fastcgi;
  uwsgi_temp_path %1$s/uwsgi; scgi_temp_path %1$s/scgi;
  server { listen %3$d backlog=8192;
    location /client { return 200 "$http_x_forwarded_client_cert"; }
    location / { return 200 "hello world\n"; } } }
)";

constexpr char kSdsCluster[] = R"({
  "name": "sds-grpc", "type": "STATIC", "connect_timeout": "1s",
  "typed_extension_protocol_options": {
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
      "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
      "explicit_http_config": {"http2_protocol_options": {}}}},
  "load_assignment": {"cluster_name": "sds-grpc", "endpoints": [{"lb_endpoints": [
    {"endpoint": {"address": {"pipe": {"path": "%s"}}}}]}]}
})";

// Istio keeps Envoy's memory down with these.
constexpr char kEnvoyStats[] = R"({"stats_matcher": {"inclusion_list": {"patterns": [
  {"prefix": "cluster_manager"}, {"prefix": "listener_manager"}, {"prefix": "server"},
  {"prefix": "cluster.xds-grpc"}, {"prefix": "wasm"}, {"suffix": "rbac.allowed"},
  {"suffix": "rbac.denied"}, {"suffix": "shadow_allowed"}, {"suffix": "shadow_denied"},
  {"suffix": "downstream_cx_active"},
  {"safe_regex": {"regex": "vhost\\..*\\.route\\..*"}}]}}})";

std::string ClusterIp(uint32_t service) {
  return absl::StrFormat("10.96.%u.%u", service / 250, service % 250 + 1);
}

std::string ServiceYaml(const std::string& name, uint32_t number, const std::string& app) {
  return absl::StrFormat(kService, name, ClusterIp(number), app, kServerPort);
}

json::Value Inline(const std::string& pem) {
  json::Value source = json::Value::Object();
  source.Set("inline_string", json::Value::String(pem));
  return source;
}

json::Value StaticSecrets(const Identity& identity) {
  json::Value own = json::Value::Object(), roots = json::Value::Object();
  own.Set("name", json::Value::String("default"));
  json::Value& pair = own.MutableObject("tls_certificate");
  pair.Set("certificate_chain", Inline(identity.workload.certificate_chain_pem));
  pair.Set("private_key", Inline(identity.workload.private_key_pem));
  roots.Set("name", json::Value::String("ROOTCA"));
  roots.MutableObject("validation_context").Set("trusted_ca", Inline(identity.roots_pem));
  json::Value list = json::Value::Array();
  list.Append(std::move(own));
  list.Append(std::move(roots));
  return list;
}

}  // namespace

Pairs::Pairs(const PairOptions& options, const std::string& folder)
    : options_(options),
      folder_(folder),
      socket_(folder + "/sds.socket"),
      identity_(NewIdentity(kSpiffe)),
      secrets_(socket_, identity_) {}

absl::StatusOr<std::unique_ptr<Pairs>> Pairs::Start(const machine::Programs& programs,
                                                    const std::string& folder,
                                                    const PairOptions& options) {
  auto pairs = std::unique_ptr<Pairs>(new Pairs(options, folder));
  auto mesh = machine::Mesh::Start(programs, folder);
  if (!mesh.ok()) return mesh.status();
  pairs->mesh_ = *std::move(mesh);
  pairs->ApplyMesh();
  for (const char* name : {kDirect, kMeltemi, kEnvoy}) {
    if (absl::Status status = pairs->AddPair(name); !status.ok()) return status;
  }
  if (absl::Status status = pairs->mesh_->Settle(); !status.ok()) return status;
  for (const Pair& pair : pairs->pairs_) {
    if (absl::Status status = pairs->Check(pair); !status.ok()) return status;
  }
  return pairs;
}

void Pairs::ApplyMesh() {
  mesh_->Apply("strict", kStrict);
  std::string others;
  for (uint32_t i = 0; i < options_.services; ++i) {
    const std::string name = absl::StrCat("other-", i);
    absl::StrAppend(&others, ServiceYaml(name, 500 + i, name),
                    absl::StrFormat(kWorkload, name, absl::StrCat("10.244.1.", i % 250 + 1)));
  }
  if (!others.empty()) mesh_->Apply("others", others);
}

absl::Status Pairs::AddPair(const std::string& name) {
  const std::string service = "server-" + name, once = "once-" + name;
  const auto number = static_cast<uint32_t>(pairs_.size());
  if (name != kDirect) {
    mesh_->Apply(service, ServiceYaml(service, number, service));
    mesh_->Apply(once, ServiceYaml(once, 100 + number, service));
    mesh_->Apply(once + "-rule", absl::StrFormat(kOnePerConnection, once));
    mesh_->node().SetHost(ClusterIp(number), {service});
    mesh_->node().SetHost(ClusterIp(100 + number), {once});
  }
  Pair pair{.name = name};
  for (Pod** pod : {&pair.client, &pair.server}) {
    const char* const kind = pod == &pair.client ? "client-" : "server-";
    absl::StatusOr<Pod*> added = AddPod(kind + name, name);
    if (!added.ok()) return added.status();
    *pod = *added;
    if (name != kDirect) pair.sidecars.push_back((*added)->process("sidecar")->pid());
  }
  pair.url = name == kDirect ? absl::StrCat("http://", pair.server->ip(), ":", kServerPort)
                             : absl::StrCat("http://", service);
  if (name != kDirect) pair.url_new_connections = absl::StrCat("http://", once);
  pairs_.push_back(pair);
  return StartServer(*pair.server);
}

absl::StatusOr<Pod*> Pairs::AddPod(const std::string& name, const std::string& proxy) {
  PodSpec spec{.name = name, .labels = {{"app", name}}, .sidecar = PodSpec::Sidecar::kNone};
  if (proxy == kMeltemi) spec.sidecar = PodSpec::Sidecar::kMeltemi;
  if (proxy == kEnvoy) spec.sidecar = PodSpec::Sidecar::kEnvoy;
  spec.command = [this, proxy](const Pod& pod) { return Command(pod, proxy); };
  return mesh_->AddPod(spec);
}

// The same for both, but for where the certificate comes from and for what Istio tells Envoy to
// leave out.
std::string Pairs::Bootstrap(const Pod& pod, const std::string& proxy) const {
  const std::string text = machine::EnvoyBootstrap(
      {.name = pod.name(),
       .ip = pod.ip(),
       .labels = {{"app", pod.name()}, {"security.istio.io/tlsMode", "istio"}},
       .xds_ip = mesh_->node().ip(),
       .xds_port = 15010,
       .delta = true});
  json::Value bootstrap = *json::Parse(text);
  bootstrap.Find("node")
      ->MutableObject("metadata")
      .Set("SERVICE_ACCOUNT", json::Value::String("default"));
  bootstrap.Set("deferred_stat_options",
                *json::Parse(R"({"enable_deferred_creation_stats": true})"));
  json::Value& resources = bootstrap.MutableObject("static_resources");
  if (proxy == kEnvoy) {
    resources.Find("clusters")->Append(*json::Parse(absl::StrFormat(kSdsCluster, socket_)));
    bootstrap.Set("stats_config", *json::Parse(kEnvoyStats));
  } else {
    resources.Set("secrets", StaticSecrets(identity_));
  }
  return json::ToString(bootstrap);
}

std::vector<std::string> Pairs::Command(const Pod& pod, const std::string& proxy) const {
  const std::string workers = absl::StrCat(options_.concurrency);
  std::vector<std::string> argv = {"taskset", "-c", kProxyCore};
  const std::vector<std::string> own =
      proxy == kEnvoy
          ? std::vector<std::string>{mesh_->programs().envoy, "--use-dynamic-base-id", "-l",
                                     "error"}
          : std::vector<std::string>{mesh_->programs().proxy, "run", "--status-port", "15021"};
  argv.insert(argv.end(), own.begin(), own.end());
  argv.insert(argv.end(), {"--config-yaml", Bootstrap(pod, proxy), "--concurrency", workers});
  return argv;
}

absl::Status Pairs::StartServer(Pod& pod) const {
  const std::string config = absl::StrCat(folder_, "/", pod.name(), ".nginx.conf");
  machine::WriteFile(config, absl::StrFormat(kServer, folder_, pod.name(), kServerPort));
  const auto started =
      pod.Start("app", {"taskset", "-c", kLoadCore, "nginx", "-p", folder_, "-c", config});
  if (!started.ok()) return started.status();
  if (machine::Eventually([&] { return pod.Listening(kServerPort) || !(*started)->running(); },
                          std::chrono::seconds(20)) &&
      (*started)->running()) {
    return absl::OkStatus();
  }
  return absl::UnavailableError("nginx does not start: " + pod.Log("app"));
}

// That an answer comes, and that the server's sidecar saw who asks.
absl::Status Pairs::Check(const Pair& pair) const {
  machine::Finished finished;
  for (const std::string& url : {pair.url, pair.url_new_connections}) {
    if (url.empty()) continue;
    const bool right = machine::Eventually(
        [&] {
          finished = pair.client->Exec({"curl", "-sS", "-m", "5", "-f", url + "/client"});
          return finished.exit_status == 0 &&
                 absl::StrContains(finished.output, kSpiffe) == !pair.sidecars.empty();
        },
        std::chrono::seconds(20));
    if (right) continue;
    std::string logs;
    for (Pod* pod : {pair.client, pair.server}) {
      const std::string log = pod->Log("sidecar");
      absl::StrAppend(&logs, "\n", pod->name(), ": ",
                      log.substr(log.size() - std::min<size_t>(log.size(), 2000)));
    }
    return absl::UnavailableError(
        absl::StrCat(url, " does not answer over mutual TLS: ", finished.output, logs));
  }
  return absl::OkStatus();
}

}  // namespace meltemi::bench
