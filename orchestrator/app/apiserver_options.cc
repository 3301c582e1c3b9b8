#include "orchestrator/app/apiserver_options.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/flags/flags.h"
#include "base/log/log.h"

namespace meltemi::orchestrator {
namespace {

constexpr char kUsage[] =
    "meltemi-orchestrator apiserver [OPTIONS]\n\n"
    "Serves the Kubernetes API. Without options: on port 6443, with its data, certificates and "
    "the\n"
    "kubeconfig of an administrator (admin.kubeconfig) in /var/lib/meltemi.";

// "a,b,c"; replaces what was there.
void List(Flags& flags, const char* name, std::vector<std::string>* out, const char* value_name,
          const char* help) {
  flags.Custom(name, {}, value_name, help, [out](const std::string& text) {
    *out = absl::StrSplit(text, ',', absl::SkipEmpty());
    return absl::OkStatus();
  });
}

void AddServing(ApiServerOptions* o, Flags& flags) {
  flags.Text("data-dir", {}, &o->data_dir, "FOLDER", "database, certificates, kubeconfig");
  flags.Text("bind-address", {}, &o->bind_address, "IP", "to listen on");
  flags.Number("secure-port", {}, &o->secure_port, 0, 65535, "0: the kernel chooses");
  flags.Text("advertise-address", {}, &o->advertise_address, "IP",
             "by which pods and nodes reach it; default: the first global address");
  flags.Text("address-file", {}, &o->address_file, "FILE", "gets the URL once it is ready");
  List(flags, "extra-names", &o->extra_names, "NAME,…",
       "more host names and addresses of the serving certificate");
  flags.Text("tls-cert-file", {}, &o->tls_cert_file, "FILE", "PEM; default: made by itself");
  flags.Text("tls-private-key-file", {}, &o->tls_key_file, "FILE", "PEM");
  flags.Time("request-timeout", {}, &o->request_timeout, "of requests that are no watches");
  flags.Number("max-requests-inflight", {}, &o->reads_in_flight_max, 1, 100'000,
               "reads at a time; more get 429");
  flags.Number("max-mutating-requests-inflight", {}, &o->writes_in_flight_max, 1, 100'000,
               "writes at a time; more get 429");
  flags.Number("loops", {}, &o->loops, 1, 64, "threads that read and write connections");
  flags.Text("log-level", {"l"}, &o->log_level, "LEVEL", "trace, debug, info, warn, error or off");
}

void AddStore(ApiServerOptions* o, Flags& flags) {
  List(flags, "etcd-servers", &o->etcd_servers, "URL,…",
       "keep objects in this etcd cluster; default: SQLite in --data-dir");
  flags.Text("etcd-cafile", {}, &o->etcd_ca_file, "FILE", "PEM: who signs the members");
  flags.Text("etcd-certfile", {}, &o->etcd_cert_file, "FILE", "PEM: our certificate");
  flags.Text("etcd-keyfile", {}, &o->etcd_key_file, "FILE", "PEM: its key");
  flags.Number("store-mib-max", {}, &o->store_mib_max, 16, 1024 * 1024, "bound of the SQLite file");
  flags.Time("event-ttl", {}, &o->event_ttl, "how long Events are kept");
}

void AddAccess(ApiServerOptions* o, Flags& flags) {
  flags.Text("client-ca-file", {}, &o->client_ca_file, "FILE",
             "PEM: who signs clients' certificates; default: the cluster's own authority");
  flags.Text("token-auth-file", {}, &o->token_auth_file, "FILE", "CSV: token,user,uid,\"groups\"");
  flags.Switch("anonymous-auth", {}, &o->anonymous_auth,
               "requests without credentials are system:anonymous's (default: true)");
  List(flags, "authorization-mode", &o->authorization_modes, "MODE,…",
       "Node, RBAC, AlwaysAllow, AlwaysDeny, in the order they are asked (Node,RBAC)");
  flags.Text("service-account-issuer", {}, &o->service_account_issuer, "URL",
             "of service account tokens");
  List(flags, "api-audiences", &o->api_audiences, "NAME,…", "of tokens; default: the issuer");
  List(flags, "enable-admission-plugins", &o->enable_admission_plugins, "NAME,…",
       "beside the default ones");
  List(flags, "disable-admission-plugins", &o->disable_admission_plugins, "NAME,…",
       "of the default ones");
  flags.Text("service-cluster-ip-range", {}, &o->service_cluster_ip_range, "CIDR",
             "of Services' addresses");
  flags.Text("service-node-port-range", {}, &o->service_node_port_range, "FIRST-LAST",
             "of Services' node ports");
}

}  // namespace

absl::StatusOr<ApiServerOptions> ParseApiServerOptions(const std::vector<std::string>& args,
                                                       std::string* print) {
  ApiServerOptions options;
  Flags flags(kUsage);
  AddServing(&options, flags);
  AddStore(&options, flags);
  AddAccess(&options, flags);
  if (absl::Status status = flags.Parse(args); !status.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(status.message(), "; see meltemi-orchestrator apiserver --help"));
  }
  if (flags.help_wanted()) *print = flags.Help();
  log::Level level;
  if (!log::ParseLevel(options.log_level, &level)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--log-level: '", options.log_level, "' is no level"));
  }
  if (options.tls_cert_file.empty() != options.tls_key_file.empty()) {
    return absl::InvalidArgumentError(
        "--tls-cert-file and --tls-private-key-file belong together: give both or neither");
  }
  return options;
}

}  // namespace meltemi::orchestrator
