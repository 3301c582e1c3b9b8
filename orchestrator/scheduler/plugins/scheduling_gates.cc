// SchedulingGates: a pod with spec.schedulingGates waits until they are gone.
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "orchestrator/scheduler/plugins/rules.h"

namespace meltemi::scheduler {
namespace {

class State final : public PluginState {
 public:
  explicit State(std::string reason) : reason(std::move(reason)) {}
  std::unique_ptr<PluginState> Clone() const override { return std::make_unique<State>(reason); }
  const std::string reason;
};

class SchedulingGates final : public Plugin {
 public:
  SchedulingGates() { filters = true; }
  absl::string_view name() const override { return "SchedulingGates"; }

  Verdict PreFilter(const PodInfo& pod, const Snapshot& snapshot,
                    std::unique_ptr<PluginState>* state) const override {
    const auto& gates = pod.pod->spec().scheduling_gates();
    if (gates.empty()) return Verdict::Skip();
    auto made = std::make_unique<State>(absl::StrCat(
        "waiting for scheduling gates: [",
        absl::StrJoin(gates, " ",
                      [](std::string* out, const auto& gate) { out->append(gate.name()); }),
        "]"));
    Verdict verdict = Verdict::Unresolvable(made->reason);
    *state = std::move(made);
    return verdict;
  }

  bool MayHelp(const PodInfo& refused, const ClusterEvent& event) const override {
    return event.type == ClusterEvent::Type::kSelfChanged;
  }
};

}  // namespace

std::unique_ptr<Plugin> NewSchedulingGates() { return std::make_unique<SchedulingGates>(); }

}  // namespace meltemi::scheduler
