#include "orchestrator/kubeproxy/kube_proxy.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/process/run_process.h"
#include "orchestrator/kubeproxy/iptables/cleanup.h"
#include "orchestrator/kubeproxy/iptables/writer.h"
#include "orchestrator/kubeproxy/nftables/writer.h"
#include "orchestrator/kubeproxy/sync.h"

namespace meltemi::kubeproxy {
namespace {

constexpr char kNftables[] = "nftables";
constexpr char kIptables[] = "iptables";

absl::Status NeedProgram(const std::string& mode, const std::string& program) {
  if (!FindProgram(program).empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("mode ", mode, " needs the program ", program,
                                                    ", which is not there: install ",
                                                    program == "nft" ? "nftables" : program));
}

// A program that is not there has written nothing.
absl::Status UnlessNotFound(absl::Status status) {
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status RemoveNftables() { return UnlessNotFound(nftables::RemoveTable()); }

// Of both kinds of iptables: which one the machine uses may have changed.
absl::Status RemoveIptables() {
  absl::Status status = UnlessNotFound(iptables::RemoveAll("iptables-nft"));
  status.Update(UnlessNotFound(iptables::RemoveAll("iptables-legacy")));
  return status;
}

void LogFailure(const absl::Status& status) {
  if (status.ok()) return;
  LOG(kWarn, "kube-proxy", "rules of another mode are left: ", status.message());
}

}  // namespace

absl::StatusOr<std::unique_ptr<KubeProxy>> NewKubeProxy(const KubeProxyOptions& options,
                                                        kube::Informers& informers,
                                                        kube::Executor& executor,
                                                        kube::EventRecorder& recorder,
                                                        metrics::Registry* metrics) {
  SyncParts parts;
  parts.flows = NewFlows();
  parts.new_health = [&](std::function<bool()> healthy) {
    return NewServiceHealth(executor.clock(), options.node_name, recorder, std::move(healthy));
  };
  const auto now = executor.clock().WallNow().time_since_epoch();
  const auto owner = static_cast<uint32_t>(std::chrono::duration_cast<microseconds>(now).count());
  absl::Status status;
  if (options.mode == kNftables) {
    status = NeedProgram(options.mode, "nft");
    parts.writer = std::make_unique<nftables::Writer>(owner);
    parts.remove_other_mode = [] { LogFailure(RemoveIptables()); };
  } else if (options.mode == kIptables) {
    status = NeedProgram(options.mode, "iptables-restore");
    parts.writer = std::make_unique<iptables::Writer>(owner);
    parts.remove_other_mode = [] { LogFailure(RemoveNftables()); };
  } else {
    status = absl::InvalidArgumentError(
        absl::StrCat("mode ", options.mode, " is unknown: nftables or iptables"));
  }
  if (!status.ok()) return status;
  return NewSync(options, std::move(parts), informers, executor, metrics);
}

absl::Status RemoveAllRules() {
  absl::Status status = RemoveNftables();
  status.Update(RemoveIptables());
  return status;
}

}  // namespace meltemi::kubeproxy
