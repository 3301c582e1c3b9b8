#include "orchestrator/component/options.h"

#include "absl/strings/str_cat.h"
#include "base/flags/flags.h"
#include "base/log/log.h"

namespace meltemi::orchestrator {

void AddComponentFlags(ComponentOptions* o, bool with_election, Flags& flags) {
  flags.Text("kubeconfig", {}, &o->kubeconfig, "FILE", "how to reach the API server, and as whom");
  flags.Text("bind-address", {}, &o->bind_address, "IP", "of /healthz, /metrics and /debug");
  flags.Number("secure-port", {}, &o->secure_port, 0, 65535, "0: the kernel chooses");
  flags.Text("address-file", {}, &o->address_file, "FILE", "gets the URL once it works");
  flags.Text("tls-cert-file", {}, &o->tls_cert_file, "FILE", "PEM; default: made for this run");
  flags.Text("tls-private-key-file", {}, &o->tls_key_file, "FILE", "PEM");
  flags.Text("client-ca-file", {}, &o->client_ca_file, "FILE",
             "PEM: who signs the certificates of those who may ask");
  if (with_election) {
    flags.Switch("leader-elect", {}, &o->leader_elect,
                 "work only while no other replica does (default: true)");
    flags.Text("leader-elect-resource-name", {}, &o->lease_name, "NAME",
               "of the Lease in kube-system");
    flags.Time("leader-elect-lease-duration", {}, &o->lease_duration,
               "after which others take over from a leader that is silent");
    flags.Time("leader-elect-renew-deadline", {}, &o->renew_deadline,
               "a leader that cannot renew for this long steps down");
    flags.Time("leader-elect-retry-period", {}, &o->retry_period, "between tries");
  }
  flags.Text("log-level", {"l"}, &o->log_level, "LEVEL", "trace, debug, info, warn, error or off");
}

absl::Status CheckComponentOptions(const ComponentOptions& options) {
  log::Level level;
  if (!log::ParseLevel(options.log_level, &level)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--log-level: '", options.log_level, "' is no level"));
  }
  if (options.tls_cert_file.empty() != options.tls_key_file.empty()) {
    return absl::InvalidArgumentError(
        "--tls-cert-file and --tls-private-key-file belong together: give both or neither");
  }
  if (options.lease_duration <= options.renew_deadline) {
    return absl::InvalidArgumentError(
        "--leader-elect-lease-duration must be longer than --leader-elect-renew-deadline: a leader "
        "has to step down before another one takes over");
  }
  // Tries are spread by a fifth, as everywhere in Kubernetes.
  if (options.renew_deadline <= options.retry_period * 6 / 5) {
    return absl::InvalidArgumentError(
        "--leader-elect-renew-deadline must be longer than 1.2 times --leader-elect-retry-period");
  }
  return absl::OkStatus();
}

}  // namespace meltemi::orchestrator
