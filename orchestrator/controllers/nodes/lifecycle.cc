#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/client/typed.h"
#include "kube/coordination/v1/coordination.pb.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/core/v1/reference.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/nodes/health.h"
#include "orchestrator/controllers/nodes/nodes.h"
#include "orchestrator/controllers/nodes/pods_on_node.h"
#include "orchestrator/controllers/nodes/taints.h"
#include "orchestrator/controllers/nodes/zones.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

using kube::coordination::v1::Lease;
using kube::core::v1::Node;
using kube::core::v1::Pod;
using kube::core::v1::PodCondition;
using NodePtr = std::shared_ptr<const Node>;

constexpr char kLeaseNamespace[] = "kube-node-lease";
constexpr char kExcluded[] = "node.kubernetes.io/exclude-disruption";
constexpr char kUnknown[] = "Unknown";

const kube::NamespacedName kMonitor{"", "monitor"};

// The monitor looks at all nodes each period and decides who is silent and how zones are; nodes
// are brought in line one by one, on changes or when the monitor says so; and a third queue gives
// out NoExecute taints at the zones' rates.
class NodeLifecycle final : public Running {
 public:
  NodeLifecycle(Context& context, const NodeLifecycleOptions& options)
      : options_(options),
        client_(context.client),
        clock_(context.executor.clock()),
        recorder_(context.recorder("node-controller")),
        nodes_(context.informers.ListerOf<Node>()),
        pods_(context.informers.ListerOf<Pod>()),
        leases_(context.informers.ListerOf<Lease>()),
        zones_({.rate = options.eviction_rate,
                .secondary_rate = options.secondary_eviction_rate,
                .large_size = options.large_cluster_size,
                .unhealthy_threshold = options.unhealthy_zone_threshold}),
        tainter_(kube::NewController(
            {.name = "node_lifecycle_controller_taints", .workers = 1}, context.executor,
            context.metrics,
            [this](const kube::NamespacedName& key) { return TaintInTurn(key.name); })),
        each_(kube::NewController(
            {.name = "node_lifecycle_controller", .workers = 8, .backoff_max = seconds(30)},
            context.executor, context.metrics,
            [this](const kube::NamespacedName& key) { return Reconcile(key.name); })),
        monitor_(kube::NewController({.name = "node_lifecycle_controller_monitor", .workers = 1},
                                     context.executor, context.metrics,
                                     [this](const kube::NamespacedName&) { return Monitor(); })) {
    context.informers.Of<Node>().AddHandler([this](const kube::Change& change) {
      each_->Add(kube::NameOf(change.after != nullptr ? *change.after : *change.before));
    });
    kube::Informer& pods = context.informers.Of<Pod>();
    pods.AddIndex(kByNode, PodsByNode);
    pods.AddHandler([this](const kube::Change& change) { OnPod(change); });
  }

  void Start() override {
    monitor_->Add(kMonitor);
    monitor_->Start();
    each_->Start();
    tainter_->Start();
  }

 private:
  NodeHealth::Grace grace() const { return {options_.monitor_grace, options_.startup_grace}; }

  // A pod that comes to a node of which nothing is heard.
  void OnPod(const kube::Change& change) {
    if (change.after == nullptr) return;
    const std::string& node = static_cast<const Pod&>(*change.after).spec().node_name();
    if (node.empty()) return;
    if (change.before != nullptr &&
        static_cast<const Pod&>(*change.before).spec().node_name() == node) {
      return;
    }
    const NodePtr on = nodes_.Get("", node);
    if (on != nullptr && ReadyStatus(*on) == kUnknown) each_->Add({"", node});
  }

  // With mutex_ held.
  bool Observe(const Node& node) {
    const auto lease = leases_.Get(kLeaseNamespace, node.metadata().name());
    NodeHealth& health = health_[node.metadata().name()];
    health.Observe(node, lease.get(), clock_.Now());
    return health.IsSilent(grace(), clock_.Now());
  }

  kube::ReconcileResult Monitor() {
    const std::vector<NodePtr> nodes = nodes_.List();
    std::vector<NodePtr> added;
    std::map<std::string, std::string> removed;  // uids by name
    std::vector<std::string> to_do, zones;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      removed = std::exchange(known_, {});
      std::map<std::string, Zones::Count> counts;
      std::set<std::string> silent;
      for (const NodePtr& node : nodes) {
        const std::string& name = node->metadata().name();
        if (Observe(*node)) silent.insert(name);
        const auto before = removed.find(name);
        const bool is_known = before != removed.end() && before->second == node->metadata().uid();
        if (is_known) removed.erase(before);
        if (!is_known) added.push_back(node);
        known_[name] = node->metadata().uid();
        if (node->metadata().labels().count(kExcluded) != 0) continue;
        const bool ready = silent.count(name) == 0 && ReadyStatus(*node) == "True";
        Zones::Count& count = counts[ZoneOf(*node)];
        ++(ready ? count.ready : count.not_ready);
      }
      const Zones::Turn turn = zones_.Update(counts, clock_.Now());
      if (turn == Zones::Turn::kOutageEnds) {
        for (auto& [name, health] : health_) health.Reset(clock_.Now());
      }
      for (const NodePtr& node : nodes) {
        if (NeedsWork(*node, silent.count(node->metadata().name()) != 0)) {
          to_do.push_back(node->metadata().name());
        }
      }
      zones = zones_.ZonesThatWait();
    }
    for (const NodePtr& node : added) {
      Tell(node->metadata().name(), node->metadata().uid(), "RegisteredNode",
           absl::StrCat("Registered Node ", node->metadata().name(), " in Controller"));
    }
    for (const auto& [name, uid] : removed) {
      Tell(name, uid, "RemovingNode", absl::StrCat("Removing Node ", name, " from Controller"));
    }
    for (const std::string& name : to_do) each_->Add({"", name});
    for (const std::string& zone : zones) tainter_->Add({"", zone});
    return kube::Again(options_.monitor_period);
  }

  // With mutex_ held: all that Reconcile does, but for marking pods, comes from changes of nodes.
  bool NeedsWork(const Node& node, bool silent) {
    const std::string ready = ReadyStatus(node);
    if (silent && ready != kUnknown) return true;
    const NoExecuteDecision decision = Decide(node);
    return decision.wait || !decision.now.empty();
  }

  // With mutex_ held.
  NoExecuteDecision Decide(const Node& node) const {
    return NoExecuteChange(node, zones_.outage() ? "True" : ReadyStatus(node));
  }

  void Tell(const std::string& name, const std::string& uid, absl::string_view reason,
            absl::string_view what) {
    kube::core::v1::ObjectReference node;
    node.set_api_version("v1");
    node.set_kind("Node");
    node.set_name(name);
    node.set_uid(uid);
    recorder_.RecordFor(node, kube::kNormal, reason, absl::StrCat("Node ", name, " event: ", what));
  }

  kube::ReconcileResult Reconcile(const std::string& name) {
    NodePtr node = nodes_.Get("", name);
    bool silent = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (node == nullptr) {
        health_.erase(name);
        zones_.Drop(name);
        return kube::Finished();
      }
      silent = Observe(*node);
    }
    if (silent && ReadyStatus(*node) != kUnknown) {
      kube::Result<NodePtr> written = WriteUnknown(*node);
      if (!written.ok()) return Done(written.status());
      node = *std::move(written);
    }
    const kube::Outcome tainted = UpdateTaints(*node);
    if (!tainted.ok()) return Done(tainted.status());
    const kube::Outcome labeled = UpdateLabels(*node);
    if (!labeled.ok()) return Done(labeled.status());
    if (ReadyStatus(*node) == kUnknown) {
      const kube::Outcome marked = MarkPodsNotReady(*node);
      if (!marked.ok()) return Done(marked.status());
    }
    return kube::Finished();
  }

  static kube::ReconcileResult Done(const kube::Status& status) {
    if (kube::IsNotFound(status)) return kube::Finished();
    return status;
  }

  kube::Result<NodePtr> WriteUnknown(const Node& before) {
    Node node = before;
    SetUnknown(FromWall(clock_.WallNow()), node);
    // It fails when the kubelet was heard of in the meantime.
    kube::Result<Node> written = kube::UpdateStatus(client_, node);
    if (!written.ok()) return written.status();
    if (ReadyStatus(before) == "True") {
      recorder_.Record(
          before, kube::kNormal, "NodeNotReady",
          absl::StrCat("Node ", before.metadata().name(), " status is now: NodeNotReady"));
    }
    return NodePtr(std::make_shared<const Node>(*std::move(written)));
  }

  kube::Outcome UpdateTaints(const Node& node) {
    const std::string& name = node.metadata().name();
    const auto decide = [this](const Node& current) {
      TaintChange change = NoScheduleChange(current);
      const std::lock_guard<std::mutex> lock(mutex_);
      const TaintChange now = Decide(current).now;
      change.add.insert(change.add.end(), now.add.begin(), now.add.end());
      change.remove.insert(change.remove.end(), now.remove.begin(), now.remove.end());
      return change;
    };
    const std::string zone = ZoneOf(node);
    bool waits = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      waits = Decide(node).wait;
      if (waits) {
        zones_.Wait(zone, name);
      } else {
        zones_.Drop(name);
      }
    }
    if (waits) tainter_->Add({"", zone});
    if (decide(node).empty()) return kube::Done{};
    return ApplyTaints(client_, name, node.metadata().uid(), decide, clock_.WallNow());
  }

  kube::Outcome UpdateLabels(const Node& node) {
    const auto missing = MissingLabels(node);
    if (missing.empty()) return kube::Done{};
    const kube::Result<Node> written =
        kube::Modify<Node>(client_, "", node.metadata().name(), [&](Node& current) {
          if (current.metadata().uid() != node.metadata().uid()) return false;
          for (const auto& [key, value] : missing) {
            (*current.mutable_metadata()->mutable_labels())[key] = value;
          }
          return true;
        });
    if (!written.ok()) return written.status();
    return kube::Done{};
  }

  kube::Outcome MarkPodsNotReady(const Node& node) {
    std::vector<PodPtr> ready;
    for (PodPtr& pod : pods_.ByIndex(kByNode, node.metadata().name())) {
      if (IsReady(*pod)) ready.push_back(std::move(pod));
    }
    if (ready.empty()) return kube::Done{};
    // The kubelet may be back: then the pods are its own again.
    const kube::Result<Node> current = kube::Get<Node>(client_, "", node.metadata().name());
    if (!current.ok()) return current.status();
    if (current->metadata().uid() != node.metadata().uid() || ReadyStatus(*current) != kUnknown) {
      return kube::Done{};
    }
    kube::Outcome out = kube::Done{};
    for (const PodPtr& before : ready) {
      Pod pod = *before;
      for (PodCondition& condition : *pod.mutable_status()->mutable_conditions()) {
        if (condition.type() != "Ready") continue;
        condition.set_status("False");
        *condition.mutable_last_transition_time() = FromWall(clock_.WallNow());
      }
      const kube::Result<Pod> written = kube::UpdateStatus(client_, pod);
      if (written.ok()) {
        recorder_.Record(pod, kube::kWarning, "NodeNotReady", "Node is not ready");
      } else if (!kube::IsNotFound(written.status())) {
        out = written.status();
      }
    }
    return out;
  }

  // The nodes of a zone whose turn it is.
  kube::ReconcileResult TaintInTurn(const std::string& zone) {
    for (;;) {
      Zones::Next next;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
        next = zones_.Take(zone, clock_.Now());
      }
      if (next.node.empty()) return kube::Requeue{next.after};
      const NodePtr node = nodes_.Get("", next.node);
      if (node == nullptr) continue;
      const kube::Outcome tainted = ApplyTaints(
          client_, next.node, node->metadata().uid(),
          [](const Node& current) { return TaintOf(ReadyStatus(current)); }, clock_.WallNow());
      if (tainted.ok()) continue;
      const std::lock_guard<std::mutex> lock(mutex_);
      zones_.Wait(zone, next.node);
      return tainted.status();
    }
  }

  static TaintChange TaintOf(const std::string& ready) {
    if (ready == "False")
      return {{{kNotReadyTaint, kNoExecute}}, {{kUnreachableTaint, kNoExecute}}};
    if (ready == kUnknown)
      return {{{kUnreachableTaint, kNoExecute}}, {{kNotReadyTaint, kNoExecute}}};
    return {};
  }

  const NodeLifecycleOptions options_;
  kube::Client& client_;
  const Clock& clock_;
  kube::EventRecorder& recorder_;
  const kube::Lister<Node> nodes_;
  const kube::Lister<Pod> pods_;
  const kube::Lister<Lease> leases_;

  std::mutex mutex_;
  // Guarded by mutex_.
  std::map<std::string, NodeHealth> health_;
  std::map<std::string, std::string> known_;  // uids of the last round of the monitor
  Zones zones_;

  // The last one goes first, and waits for what it has under way: that may add to those before it.
  const std::unique_ptr<kube::Controller> tainter_, each_, monitor_;
};

}  // namespace

std::unique_ptr<Running> NewNodeLifecycleController(Context& context,
                                                    const NodeLifecycleOptions& options) {
  return std::make_unique<NodeLifecycle>(context, options);
}

}  // namespace meltemi::controllers
