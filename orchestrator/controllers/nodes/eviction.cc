#include <algorithm>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/client/typed.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/nodes/nodes.h"
#include "orchestrator/controllers/nodes/pods_on_node.h"
#include "orchestrator/controllers/nodes/taints.h"
#include "orchestrator/controllers/nodes/tolerations.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/disruption_target.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Node;
using kube::core::v1::Pod;
using kube::core::v1::Taint;
using kube::core::v1::Toleration;

std::vector<Taint> NoExecuteTaints(const Node& node) {
  std::vector<Taint> out;
  for (const Taint& taint : node.spec().taints()) {
    if (taint.effect() == kNoExecute) out.push_back(taint);
  }
  return out;
}

bool SameTaints(const std::vector<Taint>& a, const std::vector<Taint>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Taint& x, const Taint& y) {
    return x.key() == y.key() && x.value() == y.value();
  });
}

bool SameTolerations(const Pod& a, const Pod& b) {
  const auto same = [](const Toleration& x, const Toleration& y) {
    return x.key() == y.key() && x.operator_() == y.operator_() && x.value() == y.value() &&
           x.effect() == y.effect() && x.has_toleration_seconds() == y.has_toleration_seconds() &&
           x.toleration_seconds() == y.toleration_seconds();
  };
  const auto& of_a = a.spec().tolerations();
  const auto& of_b = b.spec().tolerations();
  return std::equal(of_a.begin(), of_a.end(), of_b.begin(), of_b.end(), same);
}

class TaintEviction final : public Running {
 public:
  explicit TaintEviction(Context& context)
      : client_(context.client),
        clock_(context.executor.clock()),
        recorder_(context.recorder("taint-eviction-controller")),
        nodes_(context.informers.ListerOf<Node>()),
        pods_(context.informers.ListerOf<Pod>()),
        queue_(kube::NewController(
            {.name = "taint_eviction", .workers = 8, .backoff_max = seconds(60)}, context.executor,
            context.metrics, [this](const kube::NamespacedName& key) { return Reconcile(key); })) {
    kube::Informer& pods = context.informers.Of<Pod>();
    pods.AddIndex(kByNode, PodsByNode);
    pods.AddHandler([this](const kube::Change& change) { OnPod(change); });
    context.informers.Of<Node>().AddHandler([this](const kube::Change& change) { OnNode(change); });
  }
  void Start() override { queue_->Start(); }

 private:
  void OnPod(const kube::Change& change) {
    const auto* before = static_cast<const Pod*>(change.before.get());
    const auto* after = static_cast<const Pod*>(change.after.get());
    if (before != nullptr && after != nullptr &&
        before->spec().node_name() == after->spec().node_name() &&
        before->metadata().uid() == after->metadata().uid() && SameTolerations(*before, *after)) {
      return;
    }
    const Pod& pod = after != nullptr ? *after : *before;
    if (pod.spec().node_name().empty()) return;
    // Nearly all nodes have no such taints.
    const auto node = nodes_.Get("", pod.spec().node_name());
    if (after != nullptr && node != nullptr && NoExecuteTaints(*node).empty()) return;
    queue_->Add(kube::NameOf(pod));
  }

  void OnNode(const kube::Change& change) {
    std::vector<Taint> before, after;
    if (change.before != nullptr) {
      before = NoExecuteTaints(static_cast<const Node&>(*change.before));
    }
    if (change.after != nullptr) after = NoExecuteTaints(static_cast<const Node&>(*change.after));
    if (SameTaints(before, after)) return;
    const kube::NamespacedName node =
        kube::NameOf(change.after != nullptr ? *change.after : *change.before);
    for (const PodPtr& pod : pods_.ByIndex(kByNode, node.name)) queue_->Add(kube::NameOf(*pod));
  }

  kube::ReconcileResult Reconcile(const kube::NamespacedName& key) {
    const PodPtr pod = pods_.Get(key);
    if (pod == nullptr || pod->metadata().has_deletion_timestamp()) {
      Forget(key);
      return kube::Finished();
    }
    const auto node = nodes_.Get("", pod->spec().node_name());
    const std::vector<Taint> taints =
        node == nullptr ? std::vector<Taint>() : NoExecuteTaints(*node);
    const std::optional<Duration> stays = ToleratedFor(pod->spec(), taints);
    if (!stays.has_value()) {
      if (Forget(key)) {
        recorder_.Record(*pod, kube::kNormal, "TaintManagerEviction",
                         absl::StrCat("Cancelling deletion of Pod ", key.ToString()));
      }
      return kube::Finished();
    }
    const Duration left = Left(key, pod->metadata().uid(), *stays);
    if (left > Duration::zero()) return kube::Again(left);
    return Evict(key, *pod);
  }

  // Of the time that it may stay, which began when the taints were seen first.
  Duration Left(const kube::NamespacedName& key, const std::string& uid, Duration stays) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Timer& timer = timers_[key];
    if (timer.uid != uid) timer = {uid, clock_.Now()};
    return timer.since + stays - clock_.Now();
  }

  // Whether there was a timer.
  bool Forget(const kube::NamespacedName& key) {
    const std::lock_guard<std::mutex> lock(mutex_);
    return timers_.erase(key) != 0;
  }

  kube::ReconcileResult Evict(const kube::NamespacedName& key, const Pod& seen) {
    // What was seen may be old news: the taint may be gone again.
    const kube::Result<Node> node = kube::Get<Node>(client_, "", seen.spec().node_name());
    if (!node.ok()) {
      if (!kube::IsNotFound(node.status())) return node.status();
      return kube::Finished();
    }
    const std::optional<Duration> stays = ToleratedFor(seen.spec(), NoExecuteTaints(*node));
    if (!stays.has_value() || Left(key, seen.metadata().uid(), *stays) > Duration::zero()) {
      return kube::Finished();  // the informer will show it
    }
    const kube::Result<Pod> marked = MarkDisruption(
        client_, seen, {"DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"},
        clock_.WallNow());
    if (!marked.ok()) return Done(marked.status());
    recorder_.Record(seen, kube::kNormal, "TaintManagerEviction",
                     absl::StrCat("Marking for deletion Pod ", key.ToString()));
    kube::DeleteOptions options;
    options.uid = seen.metadata().uid();
    const kube::Outcome deleted = kube::Delete<Pod>(client_, key.ns, key.name, options);
    if (!deleted.ok()) return Done(deleted.status());
    return kube::Finished();
  }

  static kube::ReconcileResult Done(const kube::Status& status) {
    if (kube::IsNotFound(status)) return kube::Finished();
    return status;
  }

  struct Timer {
    std::string uid;
    MonotonicTime since;
  };

  kube::Client& client_;
  const Clock& clock_;
  kube::EventRecorder& recorder_;
  const kube::Lister<Node> nodes_;
  const kube::Lister<Pod> pods_;

  std::mutex mutex_;
  std::map<kube::NamespacedName, Timer> timers_;  // guarded by mutex_

  const std::unique_ptr<kube::Controller> queue_;  // goes first
};

}  // namespace

std::unique_ptr<Running> NewTaintEvictionController(Context& context) {
  return std::make_unique<TaintEviction>(context);
}

}  // namespace meltemi::controllers
