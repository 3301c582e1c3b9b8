#include "orchestrator/app/dns_main.h"

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/flags/flags.h"
#include "orchestrator/component/run.h"
#include "orchestrator/dns/dns_server.h"

namespace meltemi::orchestrator {
namespace {

constexpr char kUsage[] =
    "meltemi-orchestrator dns [OPTIONS]\n\n"
    "Answers for the names of services and pods, and asks others for the rest.";

class DnsWork final : public Work {
 public:
  explicit DnsWork(std::unique_ptr<dns::DnsServer> server) : server_(std::move(server)) {}
  void Start() override { server_->Start(); }

 private:
  const std::unique_ptr<dns::DnsServer> server_;
};

absl::Status Address(const std::string& text, std::vector<net::Address>* out) {
  absl::StatusOr<net::Address> address = net::Address::Parse(text);
  if (!address.ok()) return address.status();
  out->push_back(*address);
  return absl::OkStatus();
}

void AddFlags(ComponentOptions* component, dns::DnsOptions* dns, Flags& flags) {
  AddComponentFlags(component, /*with_election=*/false, flags);
  flags.Custom("listen", {}, "IP:PORT", "UDP and TCP; may be repeated",
               [dns](const std::string& text) { return Address(text, &dns->addresses); });
  flags.Custom("upstream", {}, "IP:PORT", "who is asked for other names; may be repeated",
               [dns](const std::string& text) { return Address(text, &dns->upstreams); });
  flags.Text("cluster-domain", {}, &dns->domain, "NAME", "of services and pods");
  flags.Text("resolv-conf", {}, &dns->resolv_conf, "FILE", "upstreams, where none are given");
  flags.Time("ttl", {}, &dns->ttl, "of cluster names");
  flags.Time("cache-ttl", {}, &dns->cache_ttl_max, "longest stay of others' answers");
}

int Fail(const absl::Status& status) {
  std::fprintf(stderr, "meltemi-orchestrator dns: %s\n", std::string(status.message()).c_str());
  return 2;
}

}  // namespace

int DnsMain(const std::vector<std::string>& args, const std::vector<std::string>& argv) {
  ComponentOptions component;
  component.kubeconfig = "/var/lib/meltemi/kubelet.kubeconfig";
  dns::DnsOptions options;
  Flags flags(kUsage);
  AddFlags(&component, &options, flags);
  absl::Status status = flags.Parse(args);
  if (flags.help_wanted()) {
    std::fputs(flags.Help().c_str(), stdout);
    return 0;
  }
  if (status.ok()) status = CheckComponentOptions(component);
  if (status.ok() && options.addresses.empty()) {
    status = absl::InvalidArgumentError("give --listen IP:PORT");
  }
  if (!status.ok()) {
    return Fail(absl::InvalidArgumentError(
        absl::StrCat(status.message(), "; see meltemi-orchestrator dns --help")));
  }
  // It keeps what it needs of each object itself.
  ComponentSpec spec{
      .name = "dns", .options = component, .threads_max = 8, .elects = false, .messages_max = 500};
  spec.make_work = [&options](Parts& parts) -> absl::StatusOr<std::unique_ptr<Work>> {
    absl::StatusOr<std::unique_ptr<dns::DnsServer>> server =
        dns::StartDnsServer(options, parts.clock, parts.informers, &parts.metrics);
    if (!server.ok()) return server.status();
    return std::make_unique<DnsWork>(*std::move(server));
  };
  return RunComponent(spec, argv);
}

}  // namespace meltemi::orchestrator
