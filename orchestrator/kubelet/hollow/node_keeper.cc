#include "orchestrator/kubelet/hollow/node_keeper.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "base/log/log.h"
#include "kube/client/typed.h"
#include "kube/codec/codec.h"
#include "orchestrator/kubelet/hollow/pod_run.h"
#include "orchestrator/kubelet/node/node_parts.h"

namespace meltemi::kubelet {
namespace {

using kube::coordination::v1::Lease;
using kube::core::v1::Node;
using kube::core::v1::NodeCondition;

const NodeCondition* ReadyOf(const Node& node) { return FindCondition(node.status(), kReady.type); }

std::string LabelsPatch(const Node& node) {
  std::string out;
  json::Writer writer(&out);
  writer.BeginObject().Key("metadata").BeginObject().Key("labels").BeginObject();
  for (const auto& [key, value] : node.metadata().labels()) writer.Key(key).String(value);
  writer.EndObject().EndObject().EndObject();
  return out;
}

kube::ControllerOptions QueueOptions(const HollowOptions& options) {
  kube::ControllerOptions out;
  out.name = "hollow-nodes";
  out.workers = options.node_calls_max;
  out.backoff_min = milliseconds(200);
  out.backoff_max = seconds(10);  // a lease must not run out once the server is back
  out.retries_per_second = 200;
  out.retries_burst = 500;
  return out;
}

}  // namespace

HollowNodeKeeper::HollowNodeKeeper(const HollowOptions& options, kube::Client& client,
                                   kube::Executor& executor, kube::Informer& nodes,
                                   SharedRandom& random, metrics::Registry* metrics)
    : options_(options),
      client_(client),
      executor_(executor),
      random_(random),
      entries_(static_cast<size_t>(options.nodes)),
      controller_(
          kube::NewController(QueueOptions(options), executor, metrics,
                              [this](const kube::NamespacedName& key) { return Reconcile(key); })) {
  nodes.AddHandler([this](const kube::Change& change) { OnNode(change); });
}

void HollowNodeKeeper::Start() {
  for (int i = 0; i < options_.nodes; ++i) controller_->Add({"", NodeName(options_, i)});
  controller_->Start();
}

void HollowNodeKeeper::SetFrozen(int node, bool frozen) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Entry& entry = entries_[static_cast<size_t>(node)];
    entry.frozen = frozen;
    entry.status_due = executor_.clock().Now();
  }
  if (!frozen) controller_->Add({"", NodeName(options_, node)});
}

bool HollowNodeKeeper::frozen(int node) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return entries_[static_cast<size_t>(node)].frozen;
}

size_t HollowNodeKeeper::registered() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return static_cast<size_t>(
      std::count_if(entries_.begin(), entries_.end(),
                    [](const Entry& entry) { return entry.stage == Stage::kRegistered; }));
}

void HollowNodeKeeper::OnNode(const kube::Change& change) {
  const Node& node = static_cast<const Node&>(*(change.after ? change.after : change.before));
  const int number = NodeOfAddress(options_, node.metadata().name());
  if (number < 0) return;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    Entry& entry = entries_[static_cast<size_t>(number)];
    if (entry.stage != Stage::kRegistered || entry.uid != node.metadata().uid()) return;
    if (change.type == kube::Change::Type::kDeleted) {
      entry.stage = Stage::kGone;
      return;
    }
    // Somebody has given up on the node: it is alive, and says so.
    const NodeCondition* ready = ReadyOf(node);
    if (entry.frozen || (ready != nullptr && ready->status() == "True")) return;
    entry.status_due = executor_.clock().Now();
  }
  controller_->Add({"", node.metadata().name()});
}

bool HollowNodeKeeper::MarkGone(int node) {
  const std::lock_guard<std::mutex> lock(mutex_);
  entries_[static_cast<size_t>(node)].stage = Stage::kGone;
  LOG(kInfo, "hollow", "node ", NodeName(options_, node), " was deleted: it stays so");
  return true;
}

kube::ReconcileResult HollowNodeKeeper::Reconcile(const kube::NamespacedName& key) {
  const int node = NodeOfAddress(options_, key.name);
  Stage stage;
  bool status_due;
  int64_t ready_since_s;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Entry& entry = entries_[static_cast<size_t>(node)];
    if (entry.frozen || entry.stage == Stage::kGone) return kube::Finished();
    stage = entry.stage;
    status_due = entry.status_due <= executor_.clock().Now();
    ready_since_s = entry.ready_since_s;
  }
  Duration next = options_.lease_renew_interval;
  if (stage == Stage::kNew) {
    if (kube::Outcome done = Register(node); !done.ok()) return done.status();
    // Nodes that register together do not renew together.
    next = Duration(static_cast<int64_t>(random_.Unit() * static_cast<double>(next.count())));
  }
  if (kube::Outcome renewed = RenewLease(node); !renewed.ok()) return renewed.status();
  if (stage == Stage::kRegistered && status_due) {
    const kube::Outcome written = WriteStatus(node, ready_since_s);
    if (!written.ok()) {
      if (!kube::IsNotFound(written.status())) return written.status();
      MarkGone(node);
      return kube::Finished();
    }
  }
  return kube::Again(next);
}

kube::Outcome HollowNodeKeeper::Register(int node) {
  const WallTime now = executor_.clock().WallNow();
  const Node wanted = MakeNode(options_, node, now);
  int64_t ready_since_s = UnixSeconds(now);
  kube::Result<Node> registered = kube::Create(client_, wanted);
  const bool was_there = !registered.ok() && kube::IsAlreadyExists(registered.status());
  if (was_there) registered = kube::Get<Node>(client_, "", wanted.metadata().name());
  if (!registered.ok()) return registered.status();
  const NodeCondition* ready = ReadyOf(*registered);
  if (ready != nullptr && ready->status() == "True") {
    ready_since_s = ready->last_transition_time().seconds();
  }
  if (was_there || ready == nullptr) {
    // An earlier process of this node: what it says of itself may have changed.
    kube::Result<Node> labelled = kube::Patch<Node>(client_, "", wanted.metadata().name(),
                                                    kube::PatchType::kMerge, LabelsPatch(wanted));
    if (!labelled.ok()) return labelled.status();
    if (kube::Outcome written = WriteStatus(node, ready_since_s); !written.ok()) return written;
  }
  const std::lock_guard<std::mutex> lock(mutex_);
  Entry& entry = entries_[static_cast<size_t>(node)];
  entry.stage = Stage::kRegistered;
  entry.uid = registered->metadata().uid();
  entry.ready_since_s = ready_since_s;
  // Spread, too.
  const double interval = static_cast<double>(options_.status_interval.count());
  entry.status_due = executor_.clock().Now() +
                     Duration(static_cast<int64_t>((0.5 + 0.5 * random_.Unit()) * interval));
  return kube::Done{};
}

kube::Outcome HollowNodeKeeper::WriteStatus(int node, int64_t ready_since_s) {
  const WallTime now = executor_.clock().WallNow();
  std::string patch = "{\"status\":";
  kube::AppendJson(MakeNodeStatus(options_, node, ready_since_s, now), &patch);
  patch.push_back('}');
  kube::Result<Node> written = kube::Patch<Node>(client_, "", NodeName(options_, node),
                                                 kube::PatchType::kStrategicMerge, patch, "status");
  if (!written.ok()) return written.status();
  const std::lock_guard<std::mutex> lock(mutex_);
  entries_[static_cast<size_t>(node)].status_due =
      executor_.clock().Now() + options_.status_interval;
  return kube::Done{};
}

kube::Outcome HollowNodeKeeper::RenewLease(int node) {
  std::unique_ptr<Lease> lease;
  std::string uid;
  {
    // One at a time works on a node: the lease is ours meanwhile.
    const std::lock_guard<std::mutex> lock(mutex_);
    lease = std::move(entries_[static_cast<size_t>(node)].lease);
    uid = entries_[static_cast<size_t>(node)].uid;
  }
  if (lease == nullptr) {
    lease =
        std::make_unique<Lease>(MakeLease(NodeName(options_, node), uid, options_.lease_duration));
  }
  kube::Result<Lease> written =
      kubelet::RenewLease(client_, executor_.clock().WallNow(), *std::move(lease));
  // It is gone, or somebody else's write is newer: made or read anew the next time.
  if (!written.ok()) return written.status();
  lease = std::make_unique<Lease>(*std::move(written));
  const std::lock_guard<std::mutex> lock(mutex_);
  entries_[static_cast<size_t>(node)].lease = std::move(lease);
  return kube::Done{};
}

}  // namespace meltemi::kubelet
