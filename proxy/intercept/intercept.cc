#include "proxy/intercept/intercept.h"

#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/flags/flags.h"

namespace meltemi::proxy {
namespace {

constexpr absl::string_view kUsage =
    "meltemi-proxy intercept apply|remove|print [options]\n\n"
    "Redirects the TCP traffic of this network namespace to the proxy. Port and address lists are\n"
    "comma-separated; \"*\" means all. Istio's names of the options are understood too.";

struct Tools {
  const char* save;
  const char* restore;
};

Tools ToolsOf(IpFamily family) {
  if (family == IpFamily::kV6) return {"ip6tables-save", "ip6tables-restore"};
  return {"iptables-save", "iptables-restore"};
}

// An address that is neither loopback nor link-local: proc(5), fields of /proc/net/if_inet6.
bool HasIpv6Address() {
  std::ifstream file("/proc/self/net/if_inet6");
  std::string address, index, prefix_bits, scope, flags, device;
  while (file >> address >> index >> prefix_bits >> scope >> flags >> device) {
    if (scope != "10" && scope != "20") return true;
  }
  return false;
}

absl::Status Explain(absl::string_view tool, const absl::Status& status) {
  if (status.code() != absl::StatusCode::kNotFound) return status;
  return absl::NotFoundError(
      absl::StrCat(tool, " was not found; install it with: apt-get install iptables"));
}

absl::Status ExplainFailure(absl::string_view tool, const ProcessResult& result) {
  std::string said = result.err;
  while (!said.empty() && said.back() == '\n') said.pop_back();
  if (absl::StrContains(said, "Permission denied") || absl::StrContains(said, "you must be root")) {
    return absl::PermissionDeniedError(
        absl::StrCat("changing redirect rules needs the NET_ADMIN capability; run it as root: "
                     "sudo meltemi-proxy intercept … (",
                     tool, " said: ", said, ")"));
  }
  if (absl::StrContains(said, "does the table") ||
      absl::StrContains(said, "do you need to insmod")) {
    return absl::FailedPreconditionError(
        absl::StrCat("the kernel lacks the tables for redirect rules; load them with: modprobe -a "
                     "nf_nat nf_conntrack xt_REDIRECT xt_owner (",
                     tool, " said: ", said, ")"));
  }
  return absl::InternalError(
      absl::StrCat(tool, " failed with exit code ", result.exit_code, ": ", said));
}

absl::StatusOr<std::string> Call(const ProcessRunner& run, const std::vector<std::string>& argv,
                                 const std::string& input) {
  absl::StatusOr<ProcessResult> result = run(argv, input);
  if (!result.ok()) return Explain(argv[0], result.status());
  if (result->exit_code != 0) return ExplainFailure(argv[0], *result);
  return std::move(result->out);
}

// The lines of iptables-save that are ours, without counters and comments.
std::string OwnLines(absl::string_view saved) {
  std::string own;
  for (absl::string_view line : absl::StrSplit(saved, '\n')) {
    if (absl::StrContains(line, "ISTIO_")) absl::StrAppend(&own, line, "\n");
  }
  return own;
}

absl::StatusOr<std::string> RunFamily(const InterceptCommand& command, IpFamily family,
                                      const ProcessRunner& run) {
  const Tools tools = ToolsOf(family);
  absl::StatusOr<std::string> current = Call(run, {tools.save}, "");
  if (!current.ok()) {
    // Without the right to look, a dry run shows what a clean namespace would get.
    if (!command.dry_run) return current.status();
    current = "";
  }
  if (command.verb == InterceptCommand::Verb::kPrint) {
    return absl::StrCat("# ", tools.save, "\n", OwnLines(*current));
  }
  const std::string script = command.verb == InterceptCommand::Verb::kApply
                                 ? ApplyScript(command.options, family, *current)
                                 : RemoveScript(*current);
  if (command.dry_run) return absl::StrCat("# ", tools.restore, " --noflush\n", script);
  if (script.empty()) return "";
  absl::StatusOr<std::string> done = Call(run, {tools.restore, "--noflush", "--wait=30"}, script);
  if (!done.ok()) return done.status();
  return "";
}

bool WantsIpv6(const InterceptCommand& command) {
  if (command.ipv6 != InterceptIpv6::kAuto) return command.ipv6 == InterceptIpv6::kOn;
  // What was applied while there was an address is removed also without one.
  return command.verb != InterceptCommand::Verb::kApply || HasIpv6Address();
}

absl::Status ParseIpv6(const std::string& text, InterceptIpv6* out) {
  if (text == "auto") {
    *out = InterceptIpv6::kAuto;
  } else if (text == "on") {
    *out = InterceptIpv6::kOn;
  } else if (text == "off") {
    *out = InterceptIpv6::kOff;
  } else {
    return absl::InvalidArgumentError(absl::StrCat("'", text, "' is none of auto, on, off"));
  }
  return absl::OkStatus();
}

// The names in front are ours; those in the list are istio-iptables'.
void AddFlags(InterceptCommand* command, Flags& flags) {
  InterceptOptions& o = command->options;
  flags.Number("proxy-port", {"envoy-port", "p"}, &o.proxy_port, 1, 65535,
               "where outbound connections go");
  flags.Number("inbound-port", {"inbound-capture-port", "z"}, &o.inbound_port, 1, 65535,
               "where inbound connections go");
  flags.Text("proxy-uid", {"u"}, &o.proxy_uids, "IDS", "users that are never redirected");
  flags.Text("proxy-gid", {"g"}, &o.proxy_gids, "IDS", "groups that are never redirected");
  flags.Text("include-inbound-ports", {"istio-inbound-ports", "b"}, &o.include_inbound_ports,
             "PORTS", "inbound ports to redirect");
  flags.Text("exclude-inbound-ports", {"istio-local-exclude-ports", "d"}, &o.exclude_inbound_ports,
             "PORTS", "inbound ports to leave alone, beside 15020, 15021 and 15090");
  flags.Text("include-outbound-ips", {"istio-service-cidr", "include-outbound-ip-ranges", "i"},
             &o.include_outbound_ips, "RANGES", "destinations to redirect");
  flags.Text("exclude-outbound-ips",
             {"istio-service-exclude-cidr", "exclude-outbound-ip-ranges", "x"},
             &o.exclude_outbound_ips, "RANGES", "destinations to leave alone");
  flags.Text("include-outbound-ports", {"istio-outbound-ports", "q"}, &o.include_outbound_ports,
             "PORTS", "destination ports to redirect whatever the address");
  flags.Text("exclude-outbound-ports", {"istio-local-outbound-ports-exclude", "o"},
             &o.exclude_outbound_ports, "PORTS", "destination ports to leave alone");
  flags.Text("kube-virt-interfaces", {"istio-kube-virt-interfaces", "k"}, &o.kube_virt_interfaces,
             "NAMES", "interfaces behind which guests are: what comes from there is outbound");
  flags.Text("exclude-interfaces", {"istio-exclude-interfaces", "c"}, &o.exclude_interfaces,
             "NAMES", "interfaces to leave alone");
  flags.Switch("drop-invalid", {}, &o.drop_invalid,
               "drop packets that belong to no connection (avoids stray resets)");
  flags.Custom("ipv6", {}, "auto|on|off",
               "IPv6 rules too; auto: when the namespace has a global IPv6 address",
               [command](const std::string& text) { return ParseIpv6(text, &command->ipv6); });
  flags.Switch("dry-run", {"n"}, &command->dry_run, "print the rules, change nothing");
}

}  // namespace

absl::StatusOr<InterceptCommand> ParseInterceptCommand(const std::vector<std::string>& args,
                                                       std::string* help) {
  InterceptCommand command;
  Flags flags{std::string(kUsage)};
  AddFlags(&command, flags);
  std::vector<std::string> verbs;
  if (absl::Status status = flags.Parse(args, &verbs); !status.ok()) return status;
  if (flags.help_wanted()) {
    *help = flags.Help();
    return command;
  }
  const std::string verb = verbs.size() == 1 ? verbs[0] : "";
  if (verb == "apply") {
    command.verb = InterceptCommand::Verb::kApply;
  } else if (verb == "remove") {
    command.verb = InterceptCommand::Verb::kRemove;
  } else if (verb == "print") {
    command.verb = InterceptCommand::Verb::kPrint;
  } else {
    return absl::InvalidArgumentError(
        "exactly one of apply, remove or print is needed; see meltemi-proxy intercept --help");
  }
  if (absl::Status status = CheckInterceptOptions(command.options); !status.ok()) return status;
  return command;
}

absl::StatusOr<std::string> RunIntercept(const InterceptCommand& command,
                                         const ProcessRunner& run) {
  absl::StatusOr<std::string> v4 = RunFamily(command, IpFamily::kV4, run);
  if (!v4.ok() || !WantsIpv6(command)) return v4;
  absl::StatusOr<std::string> v6 = RunFamily(command, IpFamily::kV6, run);
  if (!v6.ok()) {
    // A kernel without IPv6 has nothing to remove or show.
    if (command.verb != InterceptCommand::Verb::kApply) return v4;
    return v6.status();
  }
  return absl::StrCat(*v4, *v6);
}

int InterceptMain(const std::vector<std::string>& args) {
  std::string help;
  absl::StatusOr<InterceptCommand> command = ParseInterceptCommand(args, &help);
  absl::StatusOr<std::string> output = !command.ok()   ? command.status()
                                       : !help.empty() ? help
                                                       : RunIntercept(*command);
  if (!output.ok()) {
    std::fprintf(stderr, "meltemi-proxy intercept: %s\n",
                 std::string(output.status().message()).c_str());
    return absl::IsInvalidArgument(output.status()) ? 2 : 1;
  }
  std::fputs(output->c_str(), stdout);
  return 0;
}

}  // namespace meltemi::proxy
