#include "orchestrator/kubelet/stats/summary_json.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/json/write.h"
#include "kube/object/object.h"

namespace meltemi::kubelet {
namespace {

std::string TimeText(WallTime time) {
  return kube::FormatTime(std::chrono::duration_cast<seconds>(time.time_since_epoch()).count());
}

void WriteCompute(const ComputeSample& compute, int64_t available_bytes, json::Writer* out) {
  const std::string time = TimeText(compute.time);
  const Usage& usage = compute.usage;
  out->Key("cpu").BeginObject();
  out->Key("time").String(time);
  if (compute.nanocores.has_value()) out->Key("usageNanoCores").Int(*compute.nanocores);
  out->Key("usageCoreNanoSeconds").Int(usage.cpu_nanoseconds);
  out->EndObject();
  out->Key("memory").BeginObject();
  out->Key("time").String(time);
  if (available_bytes >= 0) out->Key("availableBytes").Int(available_bytes);
  out->Key("usageBytes").Int(usage.memory_bytes);
  out->Key("workingSetBytes").Int(usage.working_set_bytes);
  out->Key("rssBytes").Int(usage.rss_bytes);
  out->Key("pageFaults").Int(usage.page_faults);
  out->Key("majorPageFaults").Int(usage.major_page_faults);
  out->EndObject();
}

void WriteInterface(const InterfaceSample& interface, json::Writer* out) {
  out->Key("name").String(interface.name);
  out->Key("rxBytes").Int(interface.rx_bytes);
  out->Key("rxErrors").Int(interface.rx_errors);
  out->Key("txBytes").Int(interface.tx_bytes);
  out->Key("txErrors").Int(interface.tx_errors);
}

// The first interface stands for the whole.
void WriteNetwork(const std::vector<InterfaceSample>& network, const std::string& time,
                  json::Writer* out) {
  if (network.empty()) return;
  out->Key("network").BeginObject();
  out->Key("time").String(time);
  WriteInterface(network.front(), out);
  out->Key("interfaces").BeginArray();
  for (const InterfaceSample& interface : network) {
    out->BeginObject();
    WriteInterface(interface, out);
    out->EndObject();
  }
  out->EndArray();
  out->EndObject();
}

// The members of FsStats, within an object.
void WriteFs(const FileSystemSpace& space, const DiskUse& use, const std::string& time,
             json::Writer* out) {
  out->Key("time").String(time);
  out->Key("availableBytes").Int(space.available_bytes);
  out->Key("capacityBytes").Int(space.capacity_bytes);
  out->Key("usedBytes").Int(use.used_bytes);
  out->Key("inodesFree").Int(space.inodes_free);
  out->Key("inodes").Int(space.inodes);
  out->Key("inodesUsed").Int(use.inodes_used);
}

void WriteFsMember(absl::string_view key, const FileSystemSpace& space, const DiskUse& use,
                   const std::string& time, json::Writer* out) {
  out->Key(key).BeginObject();
  WriteFs(space, use, time, out);
  out->EndObject();
}

// What of a file system is used.
DiskUse UsedOf(const FileSystemSpace& space) {
  return {std::max<int64_t>(0, space.capacity_bytes - space.available_bytes),
          std::max<int64_t>(0, space.inodes - space.inodes_free)};
}

void WriteContainer(const ContainerSample& container, const NodeSample& node, bool short_form,
                    json::Writer* out) {
  const std::string time = TimeText(node.time);
  out->BeginObject();
  out->Key("name").String(container.name);
  out->Key("startTime").String(TimeText(container.started_at));
  WriteCompute(container.compute, -1, out);
  if (!short_form) {
    WriteFsMember("rootfs", node.image_fs, container.rootfs, time, out);
    WriteFsMember("logs", node.fs, container.logs, time, out);
  }
  out->EndObject();
}

void WriteVolumes(const PodSample& pod, const NodeSample& node, const std::string& time,
                  json::Writer* out) {
  if (pod.volumes.empty()) return;
  out->Key("volume").BeginArray();
  for (const VolumeSample& volume : pod.volumes) {
    out->BeginObject();
    WriteFs(node.fs, volume.use, time, out);
    out->Key("name").String(volume.name);
    if (!volume.claim.empty()) {
      out->Key("pvcRef").BeginObject();
      out->Key("name").String(volume.claim);
      out->Key("namespace").String(pod.ns);
      out->EndObject();
    }
    out->EndObject();
  }
  out->EndArray();
}

DiskUse EphemeralOf(const PodSample& pod) {
  DiskUse sum;
  const auto add = [&sum](const DiskUse& use) {
    sum.used_bytes += use.used_bytes;
    sum.inodes_used += use.inodes_used;
  };
  for (const ContainerSample& container : pod.containers) {
    add(container.rootfs);
    add(container.logs);
  }
  for (const VolumeSample& volume : pod.volumes) {
    if (volume.ephemeral) add(volume.use);
  }
  return sum;
}

void WritePod(const PodSample& pod, const NodeSample& node, bool short_form, json::Writer* out) {
  const std::string time = TimeText(node.time);
  out->BeginObject();
  out->Key("podRef").BeginObject();
  out->Key("name").String(pod.name);
  out->Key("namespace").String(pod.ns);
  out->Key("uid").String(pod.uid);
  out->EndObject();
  out->Key("startTime").String(kube::FormatTime(pod.start_time_s));
  out->Key("containers").BeginArray();
  for (const ContainerSample& container : pod.containers) {
    WriteContainer(container, node, short_form, out);
  }
  out->EndArray();
  if (pod.compute.has_value()) WriteCompute(*pod.compute, -1, out);
  if (!short_form) {
    WriteNetwork(pod.network, time, out);
    WriteVolumes(pod, node, time, out);
    WriteFsMember("ephemeral-storage", node.fs, EphemeralOf(pod), time, out);
    out->Key("process_stats").BeginObject();
    out->Key("process_count").Int(pod.processes);
    out->EndObject();
  }
  out->EndObject();
}

}  // namespace

std::string SummaryOf(const NodeSample& node, bool only_cpu_and_memory) {
  std::string text;
  json::Writer out(&text);
  const std::string time = TimeText(node.time);
  out.BeginObject();
  out.Key("node").BeginObject();
  out.Key("nodeName").String(node.name);
  out.Key("startTime").String(kube::FormatTime(node.machine.boot_time_s));
  if (node.compute.has_value()) {
    const int64_t available = node.machine.memory_bytes - node.compute->usage.working_set_bytes;
    WriteCompute(*node.compute, std::max<int64_t>(0, available), &out);
  }
  if (!only_cpu_and_memory) {
    WriteNetwork(node.network, time, &out);
    WriteFsMember("fs", node.fs, UsedOf(node.fs), time, &out);
    out.Key("runtime").BeginObject();
    WriteFsMember("imageFs", node.image_fs, node.image_use, time, &out);
    WriteFsMember("containerFs", node.image_fs, node.image_use, time, &out);
    out.EndObject();
    out.Key("rlimit").BeginObject();
    out.Key("time").String(time);
    out.Key("maxpid").Int(node.pids_max);
    out.Key("curproc").Int(node.processes);
    out.EndObject();
  }
  out.EndObject();
  out.Key("pods").BeginArray();
  for (const PodSample& pod : node.pods) {
    if (!pod.containers.empty()) WritePod(pod, node, only_cpu_and_memory, &out);
  }
  out.EndArray();
  out.EndObject();
  return text;
}

}  // namespace meltemi::kubelet
