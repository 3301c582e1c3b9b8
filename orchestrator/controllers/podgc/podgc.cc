#include "orchestrator/controllers/podgc/podgc.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "base/log/log.h"
#include "kube/client/typed.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/queue/controller.h"
#include "orchestrator/controllers/nodes/pods_on_node.h"
#include "orchestrator/controllers/podgc/choice.h"
#include "orchestrator/controllers/runtime/context.h"
#include "orchestrator/controllers/runtime/disruption_target.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Node;
using kube::core::v1::Pod;

// A node that is missing for less may be about to register anew.
constexpr Duration kQuarantine = seconds(40);

const kube::NamespacedName kRound{"", "round"};

// The index of pods that have ended: few of many. One key.
constexpr char kEnded[] = "ended";
std::vector<std::string> Ended(const google::protobuf::Message& object) {
  if (!HasEnded(static_cast<const Pod&>(object))) return {};
  return {kEnded};
}

// How many pods name which node.
class NodesOfPods {
 public:
  void Observe(const kube::Change& change) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (change.after != nullptr) Count(*change.after, 1);
    if (change.before != nullptr) Count(*change.before, -1);
  }
  std::vector<std::string> Names() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::vector<std::string> out;
    for (const auto& [name, count] : counts_) out.push_back(name);
    return out;
  }

 private:
  void Count(const google::protobuf::Message& object, int change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    const std::string& node = static_cast<const Pod&>(object).spec().node_name();
    if (node.empty()) return;
    int& count = counts_[node];
    count += change;
    if (count == 0) counts_.erase(node);
  }

  mutable std::mutex mutex_;
  std::map<std::string, int> counts_ ABSL_GUARDED_BY(mutex_);
};

class PodGarbageCollector final : public Running {
 public:
  PodGarbageCollector(Context& context, const PodGarbageOptions& options)
      : options_(options),
        client_(context.client),
        clock_(context.executor.clock()),
        pods_(context.informers.ListerOf<Pod>()),
        nodes_(context.informers.ListerOf<Node>()),
        queue_(kube::NewController(
            {.name = "pod_garbage_collector", .workers = 1, .backoff_max = options.period},
            context.executor, context.metrics,
            [this](const kube::NamespacedName&) { return Round(); })) {
    kube::Informer& pods = context.informers.Of<Pod>();
    pods.AddIndex("podgc", &Ended);
    pods.AddIndex(kByNode, &PodsByNode);
    pods.AddHandler([this](const kube::Change& change) { nodes_of_pods_.Observe(change); });
  }

  void Start() override {
    queue_->Add(kRound);
    queue_->Start();
  }

 private:
  kube::ReconcileResult Round() {
    std::map<std::string, NodePtr> nodes;
    for (NodePtr& node : nodes_.List()) {
      const std::string name = node->metadata().name();
      nodes[name] = std::move(node);
    }
    Choice choice = Choose(Candidates(nodes), nodes, options_.terminated_pods_max);
    kube::Outcome done = kube::Done{};
    for (const PodPtr& pod : choice.terminated) {
      Remove(*pod, {}, done);
    }
    for (const PodPtr& pod : choice.out_of_service) {
      Remove(*pod, {.fails = true}, done);
    }
    const std::set<std::string> gone = NodesGone(choice.orphaned, done);
    for (const auto& [node, of_node] : choice.orphaned) {
      if (gone.count(node) == 0) continue;
      for (const PodPtr& pod : of_node) {
        Remove(
            *pod,
            {.reason = "DeletionByPodGC", .message = "PodGC: node no longer exists", .fails = true},
            done);
      }
    }
    // One that has been bound since is its kubelet's matter: it is another version of the pod.
    for (const PodPtr& pod : choice.unscheduled) Remove(*pod, {.fails = true}, done);
    if (!done.ok()) return done.status();
    return kube::Again(options_.period);
  }

  // Never all pods: there may be very many, of which hardly any comes into question.
  std::vector<PodPtr> Candidates(const std::map<std::string, NodePtr>& nodes) const {
    std::vector<PodPtr> out = pods_.ByIndex("podgc", kEnded);
    for (const std::string& node : nodes_of_pods_.Names()) {
      if (nodes.count(node) > 0) continue;
      for (PodPtr& pod : pods_.ByIndex(kByNode, node)) {
        if (!HasEnded(*pod)) out.push_back(std::move(pod));
      }
    }
    return out;
  }

  // Of the nodes that pods name and nobody knows: those that are not there after the quarantine.
  std::set<std::string> NodesGone(const std::map<std::string, std::vector<PodPtr>>& missing,
                                  kube::Outcome& done) {
    std::map<std::string, MonotonicTime> before = std::exchange(quarantine_, {});
    std::set<std::string> gone;
    for (const auto& [node, pods] : missing) {
      const auto since = before.find(node);
      const MonotonicTime at = since == before.end() ? clock_.Now() : since->second;
      if (clock_.Now() - at < kQuarantine) {
        quarantine_[node] = at;
        continue;
      }
      const kube::Result<Node> found = kube::Get<Node>(client_, "", node);
      if (found.ok()) continue;  // it will be seen, or be quarantined anew
      if (kube::IsNotFound(found.status())) gone.insert(node);
      quarantine_[node] = at;
      if (!kube::IsNotFound(found.status())) done = found.status();
    }
    return gone;
  }

  void Remove(const Pod& pod, const Disruption& disruption, kube::Outcome& done) {
    const kube::Outcome removed = TryRemove(pod, disruption);
    if (!removed.ok() && !kube::IsNotFound(removed.status())) done = removed.status();
  }

  kube::Outcome TryRemove(const Pod& pod, const Disruption& disruption) {
    const kube::Result<Pod> marked = MarkDisruption(client_, pod, disruption, clock_.WallNow());
    if (!marked.ok()) return marked.status();
    LOG(kInfo, "controllers", "pod garbage: ", kube::NameOf(pod).ToString(), " is deleted");
    kube::DeleteOptions options;
    options.grace_period_seconds = 0;
    options.uid = pod.metadata().uid();
    options.resource_version = marked->metadata().resource_version();
    return kube::Delete<Pod>(client_, pod.metadata().namespace_(), pod.metadata().name(), options);
  }

  const PodGarbageOptions options_;
  kube::Client& client_;
  const Clock& clock_;
  const kube::Lister<Pod> pods_;
  const kube::Lister<Node> nodes_;
  NodesOfPods nodes_of_pods_;
  std::map<std::string, MonotonicTime> quarantine_;  // of the one worker: missing since
  const std::unique_ptr<kube::Controller> queue_;    // goes first
};

}  // namespace

std::unique_ptr<Running> NewPodGarbageCollector(Context& context,
                                                const PodGarbageOptions& options) {
  return std::make_unique<PodGarbageCollector>(context, options);
}

}  // namespace meltemi::controllers
