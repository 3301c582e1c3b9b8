#include "orchestrator/controllers/nodes/ipam/ipam.h"

#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "kube/client/typed.h"
#include "kube/core/v1/node.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/nodes/ipam/cidr_set.h"
#include "orchestrator/controllers/runtime/context.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Node;
using Cidrs = std::vector<std::string>;

Cidrs CidrsOf(const Node& node) {
  Cidrs out(node.spec().pod_cidrs().begin(), node.spec().pod_cidrs().end());
  if (out.empty() && !node.spec().pod_cidr().empty()) out.push_back(node.spec().pod_cidr());
  return out;
}

class NodeIpam final : public Running {
 public:
  NodeIpam(Context& context, std::vector<CidrSet> sets)
      : client_(context.client),
        recorder_(context.recorder("cidrAllocator")),
        nodes_(context.informers.ListerOf<Node>()),
        sets_(std::move(sets)),
        queue_(kube::NewController(
            {.name = "node_ipam_controller", .workers = 8, .backoff_max = minutes(5)},
            context.executor, context.metrics,
            [this](const kube::NamespacedName& key) { return Reconcile(key.name); })) {
    context.informers.Of<Node>().AddHandler([this](const kube::Change& change) {
      const Node& node =
          static_cast<const Node&>(change.after != nullptr ? *change.after : *change.before);
      // What nodes have is known before anything is given out.
      const std::string& name = node.metadata().name();
      if (change.after != nullptr) Occupy(name, CidrsOf(node));
      if (change.after == nullptr) Release(name, CidrsOf(node));
      queue_->Add({"", name});
    });
  }
  void Start() override { queue_->Start(); }

 private:
  kube::ReconcileResult Reconcile(const std::string& name) {
    const auto node = nodes_.Get("", name);
    if (node == nullptr || !CidrsOf(*node).empty()) {
      DropPlan(name, node == nullptr ? Cidrs() : CidrsOf(*node));
      return kube::Finished();
    }
    const std::optional<Cidrs> plan = PlanFor(name);
    if (!plan.has_value()) {
      recorder_.Record(*node, kube::kNormal, "CIDRNotAvailable",
                       absl::StrCat("Node ", name, " status is now: CIDRNotAvailable"));
      kube::Status status;
      status.message =
          "CIDR allocation failed; there are no remaining CIDRs left to allocate in "
          "the accepted range";
      return status;
    }
    const std::string patch = absl::StrCat(
        R"({"metadata":{"uid":")", node->metadata().uid(), R"("},"spec":{"podCIDR":")",
        plan->front(), R"(","podCIDRs":[")", absl::StrJoin(*plan, R"(",")"), R"("]}})");
    const kube::Result<Node> written =
        kube::Patch<Node>(client_, "", name, kube::PatchType::kStrategicMerge, patch);
    if (written.ok() || kube::IsNotFound(written.status())) return kube::Finished();
    return Refused(name, written.status());
  }

  // Somebody else may have given it ranges, which never change.
  kube::ReconcileResult Refused(const std::string& name, const kube::Status& why) {
    const kube::Result<Node> current = kube::Get<Node>(client_, "", name);
    if (!current.ok() || CidrsOf(*current).empty()) return why;
    Occupy(name, CidrsOf(*current));
    DropPlan(name, CidrsOf(*current));
    return kube::Finished();
  }

  // Kept until the node is seen to have it: a write whose answer was lost is repeated as it was.
  std::optional<Cidrs> PlanFor(const std::string& name) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = plans_.find(name);
    if (found != plans_.end()) return found->second;
    Cidrs plan;
    for (CidrSet& set : sets_) {
      std::optional<std::string> cidr = set.Take(name);
      if (!cidr.has_value()) {
        ReleaseLocked(name, plan);
        return std::nullopt;
      }
      plan.push_back(*std::move(cidr));
    }
    plans_[name] = plan;
    return plan;
  }

  void DropPlan(const std::string& name, const Cidrs& has) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = plans_.find(name);
    if (found == plans_.end()) return;
    if (found->second != has) ReleaseLocked(name, found->second);
    plans_.erase(found);
    OccupyLocked(name, has);
  }

  void Occupy(const std::string& name, const Cidrs& cidrs) {
    const std::lock_guard<std::mutex> lock(mutex_);
    OccupyLocked(name, cidrs);
  }
  void Release(const std::string& name, const Cidrs& cidrs) {
    const std::lock_guard<std::mutex> lock(mutex_);
    ReleaseLocked(name, cidrs);
  }
  void OccupyLocked(const std::string& name, const Cidrs& cidrs) {
    for (const std::string& cidr : cidrs) {
      for (CidrSet& set : sets_) set.Occupy(cidr, name);
    }
  }
  void ReleaseLocked(const std::string& name, const Cidrs& cidrs) {
    for (const std::string& cidr : cidrs) {
      for (CidrSet& set : sets_) set.Release(cidr, name);
    }
  }

  kube::Client& client_;
  kube::EventRecorder& recorder_;
  const kube::Lister<Node> nodes_;

  std::mutex mutex_;
  // Guarded by mutex_.
  std::vector<CidrSet> sets_;
  std::map<std::string, Cidrs> plans_;  // by node

  const std::unique_ptr<kube::Controller> queue_;  // goes first
};

}  // namespace

absl::StatusOr<std::unique_ptr<Running>> NewNodeIpamController(Context& context,
                                                               const NodeIpamOptions& options) {
  std::vector<CidrSet> sets;
  for (const std::string& cidr : options.cluster_cidrs) {
    const bool is_ipv6 = cidr.find(':') != std::string::npos;
    absl::StatusOr<CidrSet> set =
        CidrSet::Create(cidr, is_ipv6 ? options.node_mask_ipv6 : options.node_mask_ipv4);
    if (!set.ok()) return set.status();
    sets.push_back(*std::move(set));
  }
  if (sets.empty()) return absl::InvalidArgumentError("there is no cluster CIDR");
  return std::make_unique<NodeIpam>(context, std::move(sets));
}

}  // namespace meltemi::controllers
