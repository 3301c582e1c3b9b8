#include "orchestrator/apiserver/usage/summary.h"

#include <optional>
#include <utility>

#include "base/json/parse.h"
#include "kube/object/object.h"

namespace meltemi::apiserver {
namespace {

using json::Value;

// The figures of a node or container; nullopt: they are not there. `time` gets when.
std::optional<Usage> UsageOf(const Value& measured, std::string* time) {
  const Value* cpu = measured.Find("cpu", "usageNanoCores");
  const Value* memory = measured.Find("memory", "workingSetBytes");
  if (cpu == nullptr || memory == nullptr) return std::nullopt;
  const std::optional<int64_t> nanocores = cpu->AsInt64(), bytes = memory->AsInt64();
  if (!nanocores.has_value() || !bytes.has_value() || *nanocores < 0 || *bytes < 0) {
    return std::nullopt;
  }
  *time = kube::TextAt(measured, "cpu.time");
  return Usage{*nanocores, *bytes};
}

std::optional<PodUsage> PodOf(const Value& pod) {
  const Value* containers = pod.Find("containers");
  if (containers == nullptr || containers->items().empty()) return std::nullopt;
  PodUsage out;
  out.uid = kube::TextAt(pod, "podRef.uid");
  for (const Value& container : containers->items()) {
    const std::optional<Usage> usage = UsageOf(container, &out.time);
    if (!usage.has_value()) return std::nullopt;
    out.containers.push_back({std::string(container.FindString("name")), *usage});
  }
  return out;
}

}  // namespace

absl::StatusOr<NodeUsage> ParseSummary(absl::string_view text) {
  absl::StatusOr<Value> tree = json::Parse(text);
  if (!tree.ok()) return tree.status();
  const Value* node = tree->Find("node");
  NodeUsage out;
  const std::optional<Usage> usage = node == nullptr ? std::nullopt : UsageOf(*node, &out.time);
  if (!usage.has_value()) return absl::UnavailableError("the node has no figures yet");
  out.node = *usage;
  const Value* pods = tree->Find("pods");
  for (size_t i = 0; pods != nullptr && i < pods->items().size(); ++i) {
    const Value& pod = pods->items()[i];
    std::optional<PodUsage> usage_of_pod = PodOf(pod);
    if (!usage_of_pod.has_value()) continue;
    out.pods[{kube::TextAt(pod, "podRef.namespace"), kube::TextAt(pod, "podRef.name")}] =
        *std::move(usage_of_pod);
  }
  return out;
}

}  // namespace meltemi::apiserver
