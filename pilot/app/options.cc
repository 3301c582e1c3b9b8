#include "pilot/app/options.h"

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "base/flags/flags.h"
#include "base/json/write.h"
#include "base/log/log.h"

namespace meltemi::pilot {
namespace {

constexpr absl::string_view kUsage =
    "meltemi-pilot --config PATH [OPTIONS]\n\n"
    "The control plane: reads manifests, sends configuration to proxies.";

// An option whose values are names of something: `take` says whether it knows the name.
template <typename Take>
void Named(Flags& flags, const char* name, const char* choices, const char* help, Take take) {
  flags.Custom(name, {}, choices, help, [choices, take](const std::string& value) {
    if (take(value)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat("'", value, "' is none of ", choices));
  });
}

void AddMeshFlags(MeshSettings* mesh, Flags& flags) {
  flags.Text("domain", {}, &mesh->domain, "NAME", "of the cluster");
  flags.Text("trust-domain", {}, &mesh->trust_domain, "NAME", "of the mesh's identities");
  flags.Text("root-namespace", {}, &mesh->root_namespace, "NAME", "its rules hold for all");
  Named(flags, "outbound-policy", "ALLOW_ANY|REGISTRY_ONLY",
        "for hosts that nothing declares (ALLOW_ANY)", [mesh](const std::string& value) {
          const bool any = value == "ALLOW_ANY";
          mesh->outbound_policy = any ? OutboundPolicy::kAllowAny : OutboundPolicy::kRegistryOnly;
          return any || value == "REGISTRY_ONLY";
        });
  Named(flags, "default-load-balancer", "LEAST_REQUEST|ROUND_ROBIN|RANDOM",
        "where no rule says (LEAST_REQUEST)", [mesh](const std::string& value) {
          mesh->default_balancer = value == "ROUND_ROBIN" ? SimpleBalancer::kRoundRobin
                                   : value == "RANDOM"    ? SimpleBalancer::kRandom
                                                          : SimpleBalancer::kLeastRequest;
          return value == "ROUND_ROBIN" || value == "RANDOM" || value == "LEAST_REQUEST";
        });
  flags.Number("connect-timeout-ms", {}, &mesh->connect_timeout_ms, 1, UINT32_MAX,
               "to upstream hosts");
  flags.Number("protocol-detection-timeout-ms", {}, &mesh->protocol_detection_timeout_ms, 0,
               UINT32_MAX,
               "how long a proxy waits for a client's first bytes where no protocol is declared; "
               "0: for ever");
  flags.Text("access-log-file", {}, &mesh->access_log_path, "PATH",
             "of all proxies, such as /dev/stdout; default: none");
  flags.Text("access-log-format", {}, &mesh->access_log_format, "FORMAT",
             "Envoy's notation; default: Envoy's default");
  Named(flags, "access-log-encoding", "TEXT|JSON", "of the access log (TEXT)",
        [mesh](const std::string& value) {
          mesh->access_log_json = value == "JSON" || value == "json";
          return mesh->access_log_json || value == "TEXT" || value == "text";
        });
}

void AddFlags(Options* options, Flags& flags) {
  flags.Repeated("config", {}, &options->config_paths, "PATH",
                 "file or folder of manifests, watched; may be repeated");
  flags.Text("namespace", {}, &options->default_namespace, "NAME", "of objects that name none");
  flags.Text("xds-address", {}, &options->xds_address, "IP:PORT", "where proxies connect");
  flags.Text("http-address", {}, &options->http_address, "IP:PORT", "metrics and debug pages");
  flags.Text("kubeconfig", {}, &options->kubeconfig, "PATH",
             "read the API server of this file instead of manifests");
  flags.Switch("in-cluster", {}, &options->in_cluster,
               "read the API server of the cluster that this pod runs in");
  flags.Text("pod-name", {}, &options->pod_name, "NAME", "of this replica");
  flags.Text("secure-address", {}, &options->secure_address, "IP:PORT",
             "where injected proxies connect, over TLS (with an API server)");
  flags.Text("webhook-address", {}, &options->webhook_address, "IP:PORT",
             "where the API server sends pods and mesh objects to be looked at");
  flags.Repeated("serving-name", {}, &options->serving_names, "NAME|IP",
                 "one more name by which this is reached; may be repeated");
  flags.Text("inject-config", {}, &options->inject_config_path, "PATH",
             "what injected pods get; default: see docs/injection.md");
  flags.Number("debounce-quiet-ms", {}, &options->debounce_quiet_ms, 0, UINT32_MAX,
               "a pause so long ends a burst of changes");
  flags.Number("debounce-max-ms", {}, &options->debounce_max_ms, 0, UINT32_MAX,
               "no change of a burst waits longer");
  Named(flags, "log-level", "trace|debug|info|warn|error|off", "(info)",
        [options](const std::string& value) {
          log::Level ignored;
          options->log_level = value;
          return log::ParseLevel(value, &ignored);
        });
  flags.Switch("version", {}, &options->version, "prints the version");
}

}  // namespace

absl::StatusOr<Options> ParseOptions(const std::vector<std::string>& args) {
  Options options;
  Flags flags{std::string(kUsage)};
  AddFlags(&options, flags);
  AddMeshFlags(&options.mesh, flags);
  const absl::Status status = flags.Parse(args, &options.config_paths);
  if (!status.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(status.message(), "; see meltemi-pilot --help"));
  }
  if (flags.help_wanted()) options.help = flags.Help();
  const bool files = !options.config_paths.empty();
  if (!files && !options.over_kubernetes() && options.help.empty() && !options.version) {
    return absl::InvalidArgumentError(
        "no configuration: give a file or folder of manifests with --config PATH, or an API server "
        "with --kubeconfig PATH or --in-cluster");
  }
  if ((files && options.over_kubernetes()) || (options.in_cluster && !options.kubeconfig.empty())) {
    return absl::InvalidArgumentError(
        "--config, --kubeconfig and --in-cluster: configuration comes from one of them");
  }
  return options;
}

std::string OptionsJson(const Options& options) {
  std::string out;
  json::Writer writer(&out, 2);
  const auto text = [&writer](absl::string_view key, const std::string& value) {
    writer.Key(key).String(value);
  };
  writer.BeginObject();
  writer.Key("config_paths").BeginArray();
  for (const std::string& path : options.config_paths) writer.String(path);
  writer.EndArray();
  text("default_namespace", options.default_namespace);
  text("xds_address", options.xds_address);
  text("http_address", options.http_address);
  text("domain", options.mesh.domain);
  text("root_namespace", options.mesh.root_namespace);
  text("outbound_policy",
       options.mesh.outbound_policy == OutboundPolicy::kAllowAny ? "ALLOW_ANY" : "REGISTRY_ONLY");
  writer.Key("connect_timeout_ms").Uint(options.mesh.connect_timeout_ms);
  writer.Key("protocol_detection_timeout_ms").Uint(options.mesh.protocol_detection_timeout_ms);
  text("access_log_file", options.mesh.access_log_path);
  writer.Key("debounce_quiet_ms").Uint(options.debounce_quiet_ms);
  writer.Key("debounce_max_ms").Uint(options.debounce_max_ms);
  writer.EndObject();
  out += "\n";
  return out;
}

}  // namespace meltemi::pilot
