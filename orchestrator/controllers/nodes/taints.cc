#include "orchestrator/controllers/nodes/taints.h"

#include <algorithm>
#include <utility>

#include "kube/client/typed.h"
#include "orchestrator/controllers/runtime/pods.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Node;
using kube::core::v1::NodeCondition;
using kube::core::v1::Taint;

constexpr char kUnschedulableTaint[] = "node.kubernetes.io/unschedulable";

struct ConditionTaint {
  const char* type;
  const char* status;
  const char* key;
};
constexpr ConditionTaint kConditionTaints[] = {
    {"Ready", "False", kNotReadyTaint},
    {"Ready", "Unknown", kUnreachableTaint},
    {"MemoryPressure", "True", "node.kubernetes.io/memory-pressure"},
    {"DiskPressure", "True", "node.kubernetes.io/disk-pressure"},
    {"NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable"},
    {"PIDPressure", "True", "node.kubernetes.io/pid-pressure"},
};

bool Contains(const std::vector<TaintName>& taints, const TaintName& name) {
  return std::find(taints.begin(), taints.end(), name) != taints.end();
}

bool IsOurs(const Taint& taint) {
  if (taint.effect() != kNoSchedule) return false;
  if (taint.key() == kUnschedulableTaint) return true;
  return std::any_of(std::begin(kConditionTaints), std::end(kConditionTaints),
                     [&](const ConditionTaint& each) { return taint.key() == each.key; });
}

}  // namespace

const NodeCondition* FindCondition(const Node& node, absl::string_view type) {
  for (const NodeCondition& condition : node.status().conditions()) {
    if (condition.type() == type) return &condition;
  }
  return nullptr;
}

std::string ReadyStatus(const Node& node) {
  const NodeCondition* const ready = FindCondition(node, "Ready");
  return ready == nullptr ? "" : ready->status();
}

bool HasTaint(const Node& node, absl::string_view key, absl::string_view effect) {
  return std::any_of(
      node.spec().taints().begin(), node.spec().taints().end(),
      [&](const Taint& taint) { return taint.key() == key && taint.effect() == effect; });
}

TaintChange NoScheduleChange(const Node& node) {
  std::vector<TaintName> wanted;
  for (const ConditionTaint& each : kConditionTaints) {
    const NodeCondition* const condition = FindCondition(node, each.type);
    if (condition != nullptr && condition->status() == each.status) {
      wanted.push_back({each.key, kNoSchedule});
    }
  }
  if (node.spec().unschedulable()) wanted.push_back({kUnschedulableTaint, kNoSchedule});
  TaintChange change;
  for (const TaintName& taint : wanted) {
    if (!HasTaint(node, taint.key, taint.effect)) change.add.push_back(taint);
  }
  for (const Taint& taint : node.spec().taints()) {
    const TaintName name{taint.key(), taint.effect()};
    if (IsOurs(taint) && !Contains(wanted, name)) change.remove.push_back(name);
  }
  return change;
}

NoExecuteDecision NoExecuteChange(const Node& node, absl::string_view ready) {
  const TaintName not_ready{kNotReadyTaint, kNoExecute};
  const TaintName unreachable{kUnreachableTaint, kNoExecute};
  const bool has_not_ready = HasTaint(node, kNotReadyTaint, kNoExecute);
  const bool has_unreachable = HasTaint(node, kUnreachableTaint, kNoExecute);
  NoExecuteDecision out;
  if (ready.empty()) return out;
  if (ready == "True") {
    if (has_not_ready) out.now.remove.push_back(not_ready);
    if (has_unreachable) out.now.remove.push_back(unreachable);
    return out;
  }
  const bool want_not_ready = ready == "False";
  const bool has_wanted = want_not_ready ? has_not_ready : has_unreachable;
  const bool has_other = want_not_ready ? has_unreachable : has_not_ready;
  if (has_other) {
    // The node has had its turn: only the reason is another one.
    if (!has_wanted) out.now.add.push_back(want_not_ready ? not_ready : unreachable);
    out.now.remove.push_back(want_not_ready ? unreachable : not_ready);
  } else {
    out.wait = !has_wanted;
  }
  return out;
}

kube::Outcome ApplyTaints(kube::Client& client, const std::string& node, const std::string& uid,
                          const std::function<TaintChange(const Node& current)>& decide,
                          WallTime now) {
  const kube::Result<Node> written = kube::Modify<Node>(client, "", node, [&](Node& current) {
    if (current.metadata().uid() != uid) return false;
    const TaintChange change = decide(current);
    auto& taints = *current.mutable_spec()->mutable_taints();
    const int before = taints.size();
    const auto gone = [&](const Taint& taint) {
      return Contains(change.remove, {taint.key(), taint.effect()});
    };
    taints.erase(std::remove_if(taints.begin(), taints.end(), gone), taints.end());
    bool changed = taints.size() != before;
    for (const TaintName& name : change.add) {
      if (HasTaint(current, name.key, name.effect)) continue;
      Taint& taint = *taints.Add();
      taint.set_key(name.key);
      taint.set_effect(name.effect);
      *taint.mutable_time_added() = FromWall(now);
      changed = true;
    }
    return changed;
  });
  if (!written.ok() && !kube::IsNotFound(written.status())) return written.status();
  return kube::Done{};
}

std::vector<std::pair<std::string, std::string>> MissingLabels(const Node& node) {
  static constexpr const char* kPairs[][2] = {
      {"kubernetes.io/os", "beta.kubernetes.io/os"},
      {"kubernetes.io/arch", "beta.kubernetes.io/arch"},
  };
  std::vector<std::pair<std::string, std::string>> out;
  const auto& labels = node.metadata().labels();
  for (const auto& [name, older] : kPairs) {
    const auto value = labels.find(name);
    if (value == labels.end()) continue;
    const auto old_value = labels.find(older);
    if (old_value == labels.end() || old_value->second != value->second) {
      out.emplace_back(older, value->second);
    }
  }
  return out;
}

}  // namespace meltemi::controllers
