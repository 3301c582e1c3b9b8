#include "orchestrator/kubelet/hollow/pages.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/json/write.h"
#include "kube/codec/codec.h"
#include "kube/object/object.h"
#include "orchestrator/kubelet/hollow/pod_run.h"

namespace meltemi::kubelet {
namespace {

struct Totals {
  int64_t cpu_milli = 0, cpu_nanos_total = 0, memory_bytes = 0;
};

// A share of a pod's use: that of one of `parts` containers.
Totals ShareOf(const PodUse& use, int parts) {
  const int64_t n = std::max(1, parts);
  return {use.cpu_milli / n, use.cpu_nanos_total / n, use.memory_bytes / n};
}

void WriteUse(const Totals& use, const std::string& time, int64_t available_bytes,
              json::Writer* out) {
  out->Key("cpu").BeginObject();
  out->Key("time").String(time);
  out->Key("usageNanoCores").Int(use.cpu_milli * 1'000'000);
  out->Key("usageCoreNanoSeconds").Int(use.cpu_nanos_total);
  out->EndObject();
  out->Key("memory").BeginObject();
  out->Key("time").String(time);
  if (available_bytes >= 0) out->Key("availableBytes").Int(available_bytes);
  out->Key("usageBytes").Int(use.memory_bytes);
  out->Key("workingSetBytes").Int(use.memory_bytes);
  out->Key("rssBytes").Int(use.memory_bytes);
  out->EndObject();
}

Totals Sum(const NodeStatistics& node) {
  Totals sum;
  for (const PodUse& use : node.pods) {
    sum.cpu_milli += use.cpu_milli;
    sum.cpu_nanos_total += use.cpu_nanos_total;
    sum.memory_bytes += use.memory_bytes;
  }
  return sum;
}

void WritePod(const PodUse& use, const std::string& time, json::Writer* out) {
  const auto& meta = use.pod->metadata();
  const std::string start = kube::FormatTime(use.start_time_s);
  out->BeginObject();
  out->Key("podRef").BeginObject();
  out->Key("name").String(meta.name());
  out->Key("namespace").String(meta.namespace_());
  out->Key("uid").String(meta.uid());
  out->EndObject();
  out->Key("startTime").String(start);
  out->Key("containers").BeginArray();
  const int containers = use.pod->spec().containers_size();
  for (const kube::core::v1::Container& container : use.pod->spec().containers()) {
    out->BeginObject();
    out->Key("name").String(container.name());
    out->Key("startTime").String(start);
    WriteUse(ShareOf(use, containers), time, -1, out);
    out->EndObject();
  }
  out->EndArray();
  WriteUse(ShareOf(use, 1), time, -1, out);
  out->EndObject();
}

}  // namespace

std::string SummaryJson(const NodeStatistics& node) {
  std::string text;
  json::Writer out(&text);
  const std::string time = kube::FormatTime(UnixSeconds(node.now));
  const Totals sum = Sum(node);
  out.BeginObject();
  out.Key("node").BeginObject();
  out.Key("nodeName").String(node.name);
  out.Key("startTime").String(kube::FormatTime(node.start_time_s));
  WriteUse(sum, time, std::max<int64_t>(0, node.memory_capacity_bytes - sum.memory_bytes), &out);
  out.EndObject();
  out.Key("pods").BeginArray();
  for (const PodUse& use : node.pods) {
    if (use.running) WritePod(use, time, &out);
  }
  out.EndArray();
  out.EndObject();
  return text;
}

std::string ResourceMetrics(const NodeStatistics& node) {
  const int64_t millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(node.now.time_since_epoch()).count();
  std::string containers_cpu, containers_memory, pods_cpu, pods_memory;
  const auto add = [millis](std::string* out, absl::string_view name, const std::string& labels,
                            double value) {
    absl::StrAppendFormat(out, "%s%s %g %d\n", name, labels, value, millis);
  };
  for (const PodUse& use : node.pods) {
    if (!use.running) continue;
    const auto& meta = use.pod->metadata();
    const std::string pod =
        absl::StrCat("namespace=\"", meta.namespace_(), "\",pod=\"", meta.name(), "\"");
    const Totals share = ShareOf(use, use.pod->spec().containers_size());
    for (const kube::core::v1::Container& container : use.pod->spec().containers()) {
      const std::string labels = absl::StrCat("{container=\"", container.name(), "\",", pod, "}");
      add(&containers_cpu, "container_cpu_usage_seconds_total", labels,
          static_cast<double>(share.cpu_nanos_total) / 1e9);
      add(&containers_memory, "container_memory_working_set_bytes", labels,
          static_cast<double>(share.memory_bytes));
    }
    const std::string labels = absl::StrCat("{", pod, "}");
    add(&pods_cpu, "pod_cpu_usage_seconds_total", labels,
        static_cast<double>(use.cpu_nanos_total) / 1e9);
    add(&pods_memory, "pod_memory_working_set_bytes", labels,
        static_cast<double>(use.memory_bytes));
  }
  const Totals sum = Sum(node);
  std::string node_cpu, node_memory;
  add(&node_cpu, "node_cpu_usage_seconds_total", "",
      static_cast<double>(sum.cpu_nanos_total) / 1e9);
  add(&node_memory, "node_memory_working_set_bytes", "", static_cast<double>(sum.memory_bytes));
  return absl::StrCat("# TYPE container_cpu_usage_seconds_total counter\n", containers_cpu,
                      "# TYPE container_memory_working_set_bytes gauge\n", containers_memory,
                      "# TYPE node_cpu_usage_seconds_total counter\n", node_cpu,
                      "# TYPE node_memory_working_set_bytes gauge\n", node_memory,
                      "# TYPE pod_cpu_usage_seconds_total counter\n", pods_cpu,
                      "# TYPE pod_memory_working_set_bytes gauge\n", pods_memory);
}

std::string PodListJson(const NodeStatistics& node) {
  std::string text = "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[";
  for (size_t i = 0; i < node.pods.size(); ++i) {
    if (i > 0) text.push_back(',');
    kube::AppendJson(*node.pods[i].pod, &text);
  }
  return absl::StrCat(text, "]}");
}

}  // namespace meltemi::kubelet
