#include "orchestrator/controllers/podgc/podgc.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "kube/client/typed.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/queue/controller.h"
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
            [this](const kube::NamespacedName&) { return Round(); })) {}

  void Start() override {
    queue_->Add(kRound);
    queue_->Start();
  }

 private:
  kube::ReconcileResult Round() {
    const std::vector<PodPtr> pods = pods_.List();
    std::map<std::string, NodePtr> nodes;
    for (NodePtr& node : nodes_.List()) {
      const std::string name = node->metadata().name();
      nodes[name] = std::move(node);
    }
    Choice choice = Choose(pods, nodes, options_.terminated_pods_max);
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
  std::map<std::string, MonotonicTime> quarantine_;  // of the one worker: missing since
  const std::unique_ptr<kube::Controller> queue_;    // goes first
};

}  // namespace

std::unique_ptr<Running> NewPodGarbageCollector(Context& context,
                                                const PodGarbageOptions& options) {
  return std::make_unique<PodGarbageCollector>(context, options);
}

}  // namespace meltemi::controllers
