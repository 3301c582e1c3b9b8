#include "orchestrator/kubelet/stats/metrics_text.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace meltemi::kubelet {
namespace {

using Labels = std::vector<std::pair<absl::string_view, absl::string_view>>;

int64_t Millis(WallTime time) {
  return std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count();
}

std::string Text(const Labels& labels) {
  std::string out;
  for (const auto& [name, value] : labels) {
    absl::StrAppend(&out, out.empty() ? "{" : ",", name, "=\"");
    for (const char c : value) {
      if (c == '\\' || c == '"') out.push_back('\\');
      c == '\n' ? out.append("\\n") : out.append(1, c);
    }
    out.push_back('"');
  }
  return out.empty() ? out : out + "}";
}

// One family: its head, and a line per thing.
class Family {
 public:
  Family(absl::string_view name, absl::string_view type, absl::string_view help) : name_(name) {
    absl::StrAppend(&text_, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n");
  }
  void Add(const Labels& labels, double value, WallTime time) {
    absl::StrAppendFormat(&text_, "%s%s %.15g %d\n", name_, Text(labels), value, Millis(time));
    used_ = true;
  }
  void AddTo(std::string* out) const {
    if (used_) out->append(text_);
  }

 private:
  const std::string name_;
  std::string text_;
  bool used_ = false;
};

double Seconds(int64_t nanos) { return static_cast<double>(nanos) / 1e9; }
double UnixTime(WallTime time) {
  return static_cast<double>(time.time_since_epoch().count()) / 1e9;
}

}  // namespace

std::string ResourceMetricsOf(const NodeSample& node) {
  Family container_cpu("container_cpu_usage_seconds_total", "counter",
                       "[STABLE] Cumulative cpu time consumed by the container in core-seconds");
  Family container_memory("container_memory_working_set_bytes", "gauge",
                          "[STABLE] Current working set of the container in bytes");
  Family container_start("container_start_time_seconds", "gauge",
                         "[STABLE] Start time of the container since unix epoch in seconds");
  Family node_cpu("node_cpu_usage_seconds_total", "counter",
                  "[STABLE] Cumulative cpu time consumed by the node in core-seconds");
  Family node_memory("node_memory_working_set_bytes", "gauge",
                     "[STABLE] Current working set of the node in bytes");
  Family pod_cpu("pod_cpu_usage_seconds_total", "counter",
                 "[STABLE] Cumulative cpu time consumed by the pod in core-seconds");
  Family pod_memory("pod_memory_working_set_bytes", "gauge",
                    "[STABLE] Current working set of the pod in bytes");
  for (const PodSample& pod : node.pods) {
    for (const ContainerSample& container : pod.containers) {
      const Labels labels = {
          {"container", container.name}, {"namespace", pod.ns}, {"pod", pod.name}};
      const ComputeSample& compute = container.compute;
      container_cpu.Add(labels, Seconds(compute.usage.cpu_nanoseconds), compute.time);
      container_memory.Add(labels, static_cast<double>(compute.usage.working_set_bytes),
                           compute.time);
      container_start.Add(labels, UnixTime(container.started_at), compute.time);
    }
    if (!pod.compute.has_value() || pod.containers.empty()) continue;
    const Labels labels = {{"namespace", pod.ns}, {"pod", pod.name}};
    pod_cpu.Add(labels, Seconds(pod.compute->usage.cpu_nanoseconds), pod.compute->time);
    pod_memory.Add(labels, static_cast<double>(pod.compute->usage.working_set_bytes),
                   pod.compute->time);
  }
  if (node.compute.has_value()) {
    node_cpu.Add({}, Seconds(node.compute->usage.cpu_nanoseconds), node.time);
    node_memory.Add({}, static_cast<double>(node.compute->usage.working_set_bytes), node.time);
  }
  std::string out;
  for (const Family* family : {&container_cpu, &container_memory, &container_start, &node_cpu,
                               &node_memory, &pod_cpu, &pod_memory}) {
    family->AddTo(&out);
  }
  const int error = node.complete && node.compute.has_value() ? 0 : 1;
  absl::StrAppend(&out,
                  "# HELP resource_scrape_error [STABLE] 1 if there was an error while getting "
                  "container metrics, 0 otherwise\n# TYPE resource_scrape_error gauge\n"
                  "resource_scrape_error ",
                  error, "\n");
  return out;
}

namespace {

struct ContainerFamilies {
  Family cpu{"container_cpu_usage_seconds_total", "counter",
             "Cumulative cpu time consumed in seconds."};
  Family memory{"container_memory_usage_bytes", "gauge",
                "Current memory usage in bytes, including all memory regardless of when it was "
                "accessed"};
  Family working_set{"container_memory_working_set_bytes", "gauge",
                     "Current working set in bytes."};
  Family rss{"container_memory_rss", "gauge", "Size of RSS in bytes."};
  Family fs{"container_fs_usage_bytes", "gauge",
            "Number of bytes that are consumed by the container on this filesystem."};
  Family start{"container_start_time_seconds", "gauge",
               "Start time of the container since unix epoch in seconds."};
  Family rx{"container_network_receive_bytes_total", "counter",
            "Cumulative count of bytes received"};
  Family rx_errors{"container_network_receive_errors_total", "counter",
                   "Cumulative count of errors encountered while receiving"};
  Family tx{"container_network_transmit_bytes_total", "counter",
            "Cumulative count of bytes transmitted"};
  Family tx_errors{"container_network_transmit_errors_total", "counter",
                   "Cumulative count of errors encountered while transmitting"};
  Family machine_cpus{"machine_cpu_cores", "gauge", "Number of logical CPU cores."};
  Family machine_memory{"machine_memory_bytes", "gauge",
                        "Amount of memory installed on the machine."};

  // A container, or a pod as a whole (without container and image).
  void AddCompute(const Labels& labels, const ComputeSample& compute) {
    Labels with_cpu = labels;
    with_cpu.insert(with_cpu.begin() + 1, {"cpu", "total"});
    cpu.Add(with_cpu, Seconds(compute.usage.cpu_nanoseconds), compute.time);
    memory.Add(labels, static_cast<double>(compute.usage.memory_bytes), compute.time);
    working_set.Add(labels, static_cast<double>(compute.usage.working_set_bytes), compute.time);
    rss.Add(labels, static_cast<double>(compute.usage.rss_bytes), compute.time);
  }
};

}  // namespace

std::string ContainerMetricsOf(const NodeSample& node) {
  ContainerFamilies all;
  for (const PodSample& pod : node.pods) {
    for (const ContainerSample& container : pod.containers) {
      const Labels labels = {{"container", container.name}, {"id", container.id},
                             {"image", container.image},    {"name", container.id},
                             {"namespace", pod.ns},         {"pod", pod.name}};
      all.AddCompute(labels, container.compute);
      all.fs.Add(labels, static_cast<double>(container.rootfs.used_bytes), node.time);
      all.start.Add(labels, UnixTime(container.started_at), node.time);
    }
    const Labels whole = {{"container", ""}, {"id", pod.uid},       {"image", ""},
                          {"name", ""},      {"namespace", pod.ns}, {"pod", pod.name}};
    if (pod.compute.has_value() && !pod.containers.empty()) all.AddCompute(whole, *pod.compute);
    for (const InterfaceSample& interface : pod.network) {
      Labels labels = whole;
      labels.insert(labels.begin() + 3, {"interface", interface.name});
      all.rx.Add(labels, static_cast<double>(interface.rx_bytes), node.time);
      all.rx_errors.Add(labels, static_cast<double>(interface.rx_errors), node.time);
      all.tx.Add(labels, static_cast<double>(interface.tx_bytes), node.time);
      all.tx_errors.Add(labels, static_cast<double>(interface.tx_errors), node.time);
    }
  }
  all.machine_cpus.Add({{"boot_id", node.machine.boot_id}, {"machine_id", node.machine.machine_id}},
                       node.machine.cpus, node.time);
  all.machine_memory.Add(
      {{"boot_id", node.machine.boot_id}, {"machine_id", node.machine.machine_id}},
      static_cast<double>(node.machine.memory_bytes), node.time);
  std::string out;
  for (const Family* family :
       {&all.cpu, &all.memory, &all.working_set, &all.rss, &all.fs, &all.start, &all.rx,
        &all.rx_errors, &all.tx, &all.tx_errors, &all.machine_cpus, &all.machine_memory}) {
    family->AddTo(&out);
  }
  return out;
}

}  // namespace meltemi::kubelet
