// The group "metrics.k8s.io": what nodes and pods use. Never stored.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kube/quantity/quantity.h"
#include "orchestrator/apiserver/kinds/columns.h"
#include "orchestrator/apiserver/kinds/groups.h"
#include "orchestrator/apiserver/kinds/tree.h"

namespace meltemi::apiserver {
namespace {

void AddTo(const json::Value& usage, absl::string_view resource, kube::Quantity* sum) {
  const std::optional<kube::Quantity> amount = kube::Quantity::Parse(Text(usage, resource));
  if (amount.has_value()) *sum += *amount;
}

std::vector<json::Value> Row(const json::Value& object, const kube::Quantity& cpu,
                             const kube::Quantity& memory) {
  return {NameCell(object), TextCell(cpu.ToString()), TextCell(memory.ToString()),
          TextCell(Text(object, "window"))};
}

std::vector<json::Value> NodeRow(const json::Value& node, int64_t now_s) {
  kube::Quantity cpu, memory;
  AddTo(Get(node, "usage"), "cpu", &cpu);
  AddTo(Get(node, "usage"), "memory", &memory);
  return Row(node, cpu, memory);
}

std::vector<json::Value> PodRow(const json::Value& pod, int64_t now_s) {
  kube::Quantity cpu, memory;
  for (const json::Value& container : Items(pod, "containers")) {
    AddTo(Get(container, "usage"), "cpu", &cpu);
    AddTo(Get(container, "usage"), "memory", &memory);
  }
  return Row(pod, cpu, memory);
}

std::unique_ptr<const TableColumns> UsageColumns(RowOf row_of) {
  return MakeColumns(
      {NameColumn(), TextColumn("cpu", "What it uses."), TextColumn("memory", "What it uses."),
       TextColumn("Window", "The time that was measured.")},
      row_of);
}

}  // namespace

void AddMetrics(KindTable& table) {
  table.Add("metrics.k8s.io", "nodes", nullptr, UsageColumns(NodeRow));
  table.Add("metrics.k8s.io", "pods", nullptr, UsageColumns(PodRow));
}

}  // namespace meltemi::apiserver
