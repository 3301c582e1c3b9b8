#include "orchestrator/kubeproxy/kube_proxy.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/process/run_process.h"
#include "orchestrator/kubeproxy/nftables/writer.h"
#include "orchestrator/kubeproxy/sync.h"

namespace meltemi::kubeproxy {
namespace {

constexpr char kNftables[] = "nftables";

absl::Status NeedProgram(const std::string& mode, const std::string& program) {
  if (!FindProgram(program).empty()) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("mode ", mode, " needs the program ", program,
                                                    ", which is not there: install ",
                                                    program == "nft" ? "nftables" : program));
}

}  // namespace

absl::StatusOr<std::unique_ptr<KubeProxy>> NewKubeProxy(const KubeProxyOptions& options,
                                                        kube::Informers& informers,
                                                        kube::Executor& executor,
                                                        kube::EventRecorder& recorder,
                                                        metrics::Registry* metrics) {
  SyncParts parts;
  parts.flows = NewFlows();
  if (options.mode == kNftables) {
    if (absl::Status status = NeedProgram(options.mode, "nft"); !status.ok()) return status;
    const auto now = executor.clock().WallNow().time_since_epoch();
    parts.writer = std::make_unique<nftables::Writer>(
        static_cast<uint32_t>(std::chrono::duration_cast<microseconds>(now).count()));
  } else {
    return absl::InvalidArgumentError(
        absl::StrCat("mode ", options.mode, " is unknown: nftables or iptables"));
  }
  return NewSync(options, std::move(parts), informers, executor, metrics);
}

absl::Status RemoveAllRules() {
  absl::Status status = nftables::RemoveTable();
  if (absl::IsNotFound(status)) status = absl::OkStatus();  // no nft, so no rules of it
  return status;
}

}  // namespace meltemi::kubeproxy
