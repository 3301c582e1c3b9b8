#include "proxy/app/options.h"

#include <sched.h>

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/flags/flags.h"
#include "base/log/log.h"
#include "proxy/config/bootstrap/user_agent.h"

namespace meltemi::proxy {
namespace {

constexpr absl::string_view kUsage =
    "meltemi-proxy run -c FILE [options]       from a bootstrap in Envoy's form\n"
    "       meltemi-proxy sidecar --xds-address HOST:PORT [options]\n"
    "       meltemi-proxy intercept apply|remove|print [options]\n"
    "       meltemi-proxy wait|drain [options]         beside a proxy in its pod\n"
    "       meltemi-proxy --version\n\n"
    "Each command tells its options with --help.\n";

// "off" or a port; 0 lets the kernel choose.
absl::Status ParsePort(const std::string& text, std::optional<uint16_t>* out) {
  uint32_t port = 0;
  if (text == "off") {
    out->reset();
    return absl::OkStatus();
  }
  if (!absl::SimpleAtoi(text, &port) || port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is neither a port nor \"off\""));
  }
  *out = static_cast<uint16_t>(port);
  return absl::OkStatus();
}

void AddCommonFlags(Options* o, Flags& flags) {
  flags.Custom("mode", {}, "serve|validate",
               "validate: read the configuration, say what is wrong, end",
               [o](const std::string& text) {
                 if (text != "serve" && text != "validate") {
                   return absl::InvalidArgumentError(
                       absl::StrCat("'", text, "' is neither serve nor validate"));
                 }
                 o->validate_only = text == "validate";
                 return absl::OkStatus();
               });
  flags.Number("concurrency", {}, &o->concurrency, 0, 512, "worker threads; 0: one for each CPU");
  flags.Custom("status-port", {}, "PORT", "serves /healthz/ready; off: none",
               [o](const std::string& text) { return ParsePort(text, &o->status_port); });
  flags.Custom("stats-port", {}, "PORT", "serves /stats/prometheus; off: none",
               [o](const std::string& text) { return ParsePort(text, &o->stats_port); });
  flags.Custom("probes-port", {}, "PORT",
               "serves the kubelet's probes of the application, and the pod's lifecycle; off: none",
               [o](const std::string& text) { return ParsePort(text, &o->probes_port); });
  flags.Text("probes", {}, &o->probes, "JSON", "the probes, by path, as injection writes them");
  flags.Text("admin-address-path", {}, &o->admin_address_path, "FILE",
             "gets the address of the admin server");
  flags.Number("connections-max", {}, &o->connections_max, 0, 100'000'000,
               "downstream connections at a time; 0: no limit");
  flags.Time("drain-grace", {}, &o->drain_grace,
             "on SIGTERM: still accept for this long, after readiness said no");
  flags.Time("drain-time", {"drain-time-s"}, &o->drain_time,
             "on SIGTERM: wait at most this long for what is in flight");
  flags.Text("log-level", {"l"}, &o->log_level, "LEVEL", "trace, debug, info, warn, error or off");
  flags.Text("component-log-level", {}, &o->component_log_levels, "C:LEVEL,…",
             "levels of single components");
}

void AddRunFlags(Options* o, Flags& flags) {
  flags.Text("config-path", {"c"}, &o->config_path, "FILE", "the bootstrap, YAML or JSON");
  flags.Text("config-yaml", {}, &o->config_yaml, "TEXT", "the bootstrap itself, instead of a file");
}

void AddSidecarFlags(Options* o, Flags& flags) {
  SidecarOptions& s = o->sidecar;
  flags.Text("xds-address", {}, &s.xds_address, "HOST:PORT", "the control plane");
  flags.Text("service-node", {"node-id"}, &s.node_id, "ID",
             "the whole node id, instead of TYPE~IP~WORKLOAD.NAMESPACE~NAMESPACE.svc.DOMAIN");
  flags.Text("node-type", {}, &s.node_type, "TYPE", "sidecar or router");
  flags.Text("ip", {}, &s.ip, "IP", "of this workload; default: the first global address");
  flags.Text("workload", {"pod-name"}, &s.workload, "NAME", "of the pod; default: the host name");
  flags.Text("workload-name", {}, &s.workload_name, "NAME",
             "of what owns the pod; default: --workload");
  flags.Text("namespace", {"n"}, &s.namespace_, "NAME", "of the workload");
  flags.Text("domain", {}, &s.domain, "DOMAIN", "of the cluster's services");
  flags.Text("service-cluster", {}, &s.service_cluster, "NAME",
             "node.cluster; default: APP.NAMESPACE");
  flags.Text("service-account", {}, &s.service_account, "NAME", "of the workload");
  flags.Text("cluster-id", {}, &s.cluster_id, "ID", "of the Kubernetes cluster");
  flags.Text("mesh-id", {}, &s.mesh_id, "ID", "of the mesh");
  flags.Repeated("labels", {"label"}, &s.labels, "KEY=VALUE", "a label of the workload");
  flags.Text("labels-file", {}, &s.labels_file, "FILE",
             "labels of the workload, key=\"value\" per line");
  flags.Text("root-cert", {}, &s.root_cert, "FILE",
             "roots that the control plane's certificate is verified by; without: plaintext");
  flags.Text("token-file", {}, &s.token_file, "FILE",
             "what the control plane knows this workload by; read for each connection");
  flags.Text("ca-address", {}, &s.ca_address, "HOST:PORT",
             "the certificate authority; off: none; default: --xds-address");
  flags.Time("secret-ttl", {}, &s.secret_ttl,
             "how long the certificate shall live; the authority has the last word");
  flags.Text("trust-domain", {}, &s.trust_domain, "DOMAIN", "of this workload's identity");
  flags.Repeated("metadata", {"meta"}, &s.metadata, "KEY=VALUE",
                 "more node metadata; a value that begins with { is JSON");
  flags.Custom("admin-port", {}, "PORT",
               "the admin server, on loopback; 0: the kernel chooses (15000)",
               [&s](const std::string& text) {
                 std::optional<uint16_t> port;
                 absl::Status status = ParsePort(text, &port);
                 if (status.ok() && !port) {
                   return absl::InvalidArgumentError("a sidecar needs its admin server");
                 }
                 if (status.ok()) s.admin_port = *port;
                 return status;
               });
  flags.Custom(
      "delta-xds", {}, "true|false",
      "ask for changes alone (incremental xDS), or for the state of the world (true)",
      [&s](const std::string& text) {
        if (text != "true" && text != "false") {
          return absl::InvalidArgumentError(absl::StrCat("'", text, "' is neither true nor false"));
        }
        s.delta_xds = text == "true";
        return absl::OkStatus();
      });
  flags.Time("initial-fetch-timeout", {}, &s.initial_fetch_timeout,
             "how long the first endpoints and routes are waited for");
}

absl::Status CheckLogLevels(const Options& options) {
  log::Level level;
  if (!log::ParseLevel(options.log_level, &level)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--log-level: '", options.log_level, "' is no level"));
  }
  for (absl::string_view item :
       absl::StrSplit(options.component_log_levels, ',', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair = absl::StrSplit(item, ':');
    if (pair.first.empty() || !log::ParseLevel(pair.second, &level)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--component-log-level: '", item, "' is not component:level"));
    }
  }
  return absl::OkStatus();
}

std::string VersionText() { return absl::StrCat("meltemi-proxy ", kVersion, "\n"); }

}  // namespace

absl::StatusOr<Bootstrap> BootstrapFor(const Options& options, std::vector<std::string>* notes) {
  if (options.command == Options::Command::kSidecar) return SidecarBootstrap(options.sidecar);
  if (!options.config_yaml.empty()) {
    return ParseBootstrap(options.config_yaml, "--config-yaml", notes);
  }
  return LoadBootstrap(options.config_path, notes);
}

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& args, std::string* print) {
  Options options;
  std::vector<std::string> rest = args;
  std::string command = "run";
  if (!rest.empty() && !absl::StartsWith(rest[0], "-")) {
    command = rest[0];
    rest.erase(rest.begin());
  } else if (std::find(rest.begin(), rest.end(), "--version") != rest.end()) {
    *print = VersionText();
    return options;
  } else if (rest.empty() || rest[0] == "--help" || rest[0] == "-h") {
    *print = absl::StrCat("usage: ", kUsage);
    return options;
  }
  if (command == "version") {
    *print = VersionText();
    return options;
  }
  const bool sidecar = command == "sidecar";
  if (!sidecar && command != "run") {
    return absl::InvalidArgumentError(absl::StrCat(
        "unknown command '", command, "'; there are run, sidecar, intercept, wait and drain"));
  }
  Flags flags(absl::StrCat("meltemi-proxy ", command, " [options]"));
  if (sidecar) {
    options.command = Options::Command::kSidecar;
    options.status_port = 15021;
    options.stats_port = 15090;
    AddSidecarFlags(&options, flags);
  } else {
    AddRunFlags(&options, flags);
  }
  AddCommonFlags(&options, flags);
  if (absl::Status status = flags.Parse(rest); !status.ok()) return status;
  if (flags.help_wanted()) {
    *print = flags.Help();
    return options;
  }
  if (!sidecar && options.config_path.empty() == options.config_yaml.empty()) {
    return absl::InvalidArgumentError("run needs a bootstrap: -c FILE (or --config-yaml TEXT)");
  }
  if (absl::Status status = CheckLogLevels(options); !status.ok()) return status;
  return options;
}

uint32_t WorkerCount(const Options& options) {
  if (options.concurrency > 0) return options.concurrency;
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  if (sched_getaffinity(0, sizeof(cpus), &cpus) != 0) return 1;
  return static_cast<uint32_t>(std::max(1, CPU_COUNT(&cpus)));
}

}  // namespace meltemi::proxy
