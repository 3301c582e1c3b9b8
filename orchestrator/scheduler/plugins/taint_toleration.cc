// TaintToleration: taints NoSchedule and NoExecute keep a pod away that does not tolerate them;
// PreferNoSchedule ones lower the score.
#include <mutex>
#include <string>

#include "absl/container/node_hash_map.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/scheduler/plugins/placement.h"
#include "orchestrator/scheduler/plugins/rules.h"

namespace meltemi::scheduler {
namespace {

using kube::core::v1::Taint;

// The texts for the taints met in a cycle.
class Reasons final : public PluginState {
 public:
  std::unique_ptr<PluginState> Clone() const override { return std::make_unique<Reasons>(); }

  absl::string_view Of(const Taint& taint) const {
    std::lock_guard<std::mutex> lock(mutex_);
    std::string& text = texts_[{taint.key(), taint.value()}];
    if (text.empty()) {
      text = absl::StrCat("node(s) had untolerated taint {", taint.key(), ": ", taint.value(), "}");
    }
    return text;
  }

 private:
  mutable std::mutex mutex_;
  mutable absl::node_hash_map<std::pair<std::string, std::string>, std::string> texts_;
};

class TaintToleration final : public Plugin {
 public:
  TaintToleration() { filters = scores = true; }
  absl::string_view name() const override { return "TaintToleration"; }

  Verdict PreFilter(const PodInfo& pod, const Snapshot& snapshot,
                    std::unique_ptr<PluginState>* state) const override {
    *state = std::make_unique<Reasons>();
    return Verdict::Ok();
  }

  Verdict Filter(const PodInfo& pod, const NodeInfo& node,
                 const PluginState* state) const override {
    const Taint* taint = FirstUntolerated(pod.pod->spec(), *node.facts);
    if (taint == nullptr) return Verdict::Ok();
    return Verdict::Unresolvable(static_cast<const Reasons*>(state)->Of(*taint));
  }

  int64_t Score(const PodInfo& pod, const NodeInfo& node, const PluginState* state) const override {
    if (!node.facts->discourages) return 0;
    int64_t untolerated = 0;
    for (const Taint& taint : node.node().spec().taints()) {
      if (taint.effect() == "PreferNoSchedule" && !Tolerates(pod.pod->spec(), taint)) {
        ++untolerated;
      }
    }
    return untolerated;
  }

  void Normalize(const PodInfo& pod, const std::vector<const NodeInfo*>& feasible,
                 const PluginState* state, std::vector<int64_t>& scores) const override {
    NormalizeToHighest(/*reverse=*/true, scores);
  }

  bool MayHelp(const PodInfo& refused, const ClusterEvent& event) const override {
    switch (event.type) {
      case ClusterEvent::Type::kNodeAdded:
        return FirstUntolerated(refused.pod->spec(), *event.node_after) == nullptr;
      case ClusterEvent::Type::kNodeChanged:
        return FirstUntolerated(refused.pod->spec(), *event.node_before) != nullptr &&
               FirstUntolerated(refused.pod->spec(), *event.node_after) == nullptr;
      case ClusterEvent::Type::kSelfChanged:
        return true;
      default:
        return false;
    }
  }
};

}  // namespace

std::unique_ptr<Plugin> NewTaintToleration() { return std::make_unique<TaintToleration>(); }

}  // namespace meltemi::scheduler
