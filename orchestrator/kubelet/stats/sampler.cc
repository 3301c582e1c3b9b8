#include "orchestrator/kubelet/stats/sampler.h"

#include <dirent.h>
#include <sys/stat.h>

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cri/runtime/v1/image.pb.h"
#include "cri/runtime/v1/stats.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/stats/proc_net.h"

namespace meltemi::kubelet {
namespace {

constexpr Duration kWalkAgainAfter = seconds(60);
constexpr int kLogFilesMax = 100;

// A log and what became of it by rotation lie in one folder.
DiskUse LogsOf(const std::string& log_path) {
  DiskUse out;
  const std::string folder = log_path.substr(0, log_path.rfind('/') + 1);
  DIR* const dir = folder.empty() ? nullptr : opendir(folder.c_str());
  if (dir == nullptr) return out;
  int left = kLogFilesMax;
  while (const dirent* entry = readdir(dir)) {
    struct stat found {};
    if (entry->d_name[0] == '.' || left-- <= 0) continue;
    if (stat((folder + entry->d_name).c_str(), &found) != 0 || !S_ISREG(found.st_mode)) continue;
    out.used_bytes += found.st_size;
    ++out.inodes_used;
  }
  closedir(dir);
  return out;
}

int64_t Number(const std::string& path) {
  int64_t out = 0;
  return absl::SimpleAtoi(absl::StripAsciiWhitespace(ReadMachineFile(path)), &out) ? out : 0;
}

// "0.20 0.18 0.12 1/80 11206": the fourth is running/all.
int64_t ProcessesOf(const std::string& loadavg) {
  const std::vector<absl::string_view> words = absl::StrSplit(loadavg, ' ');
  if (words.size() < 4) return 0;
  const std::pair<absl::string_view, absl::string_view> counts = absl::StrSplit(words[3], '/');
  int64_t out = 0;
  return absl::SimpleAtoi(counts.second, &out) ? out : 0;
}

Usage UsageOf(const cri::ContainerStats& stats) {
  Usage out;
  out.cpu_nanoseconds = static_cast<int64_t>(stats.cpu().usage_core_nano_seconds().value());
  out.working_set_bytes = static_cast<int64_t>(stats.memory().working_set_bytes().value());
  out.memory_bytes = static_cast<int64_t>(stats.memory().usage_bytes().value());
  if (out.memory_bytes == 0) out.memory_bytes = out.working_set_bytes;
  out.rss_bytes = static_cast<int64_t>(stats.memory().rss_bytes().value());
  out.page_faults = static_cast<int64_t>(stats.memory().page_faults().value());
  out.major_page_faults = static_cast<int64_t>(stats.memory().major_page_faults().value());
  return out;
}

WallTime TimeOf(int64_t unix_ns, WallTime fallback) {
  return unix_ns > 0 ? WallTime(Duration(unix_ns)) : fallback;
}

}  // namespace

Sampler::Sampler(const StatsOptions& options, const Clock& clock, const Pods& pods,
                 Runtime& runtime, PodCgroups& cgroups, Volumes& volumes)
    : options_(options),
      clock_(clock),
      pods_(pods),
      runtime_(runtime),
      cgroups_(cgroups),
      volumes_(volumes) {}

Sampler::~Sampler() = default;

NodeSample Sampler::Take(bool with_disks) {
  NodeSample out;
  out.name = options_.node_name;
  out.time = clock_.WallNow();
  TakeNode(with_disks, &out);
  const absl::StatusOr<std::vector<cri::ContainerStats>> stats = runtime_.ListContainerStats("");
  StatsById by_id;
  out.complete = stats.ok();
  if (stats.ok()) {
    for (const cri::ContainerStats& one : *stats) by_id[one.attributes().id()] = &one;
  }
  const std::vector<std::shared_ptr<const PodOnNode>> pods = pods_.List();
  for (const auto& pod : pods) {
    out.pods.push_back(TakePod(*pod, by_id, with_disks, out.time));
  }
  if (out.complete) rates_.ForgetBut(out.time);
  std::map<std::string, Walked> kept;
  for (const PodSample& pod : out.pods) {
    if (auto it = walked_.find(pod.uid); it != walked_.end()) kept.insert(walked_.extract(it));
  }
  walked_ = std::move(kept);
  return out;
}

void Sampler::TakeNode(bool with_disks, NodeSample* out) {
  const std::string& root = options_.machine_root;
  out->machine = ReadMachine(root);
  if (const absl::StatusOr<Usage> usage = cgroups_.NodeUsage(); usage.ok()) {
    const auto nanocores = rates_.Observe("node", usage->cpu_nanoseconds, out->time, std::nullopt);
    out->compute = ComputeSample{*usage, out->time, nanocores};
  }
  if (!with_disks) return;
  out->network = ParseNetDev(ReadMachineFile(absl::StrCat(root, "/proc/net/dev")));
  out->fs = ReadFileSystem(options_.root);
  out->pids_max = Number(absl::StrCat(root, "/proc/sys/kernel/pid_max"));
  out->processes = ProcessesOf(ReadMachineFile(absl::StrCat(root, "/proc/loadavg")));
  const absl::StatusOr<std::vector<cri::FilesystemUsage>> images = runtime_.ImageFsInfo();
  if (!images.ok() || images->empty()) return;
  const cri::FilesystemUsage& image = images->front();
  out->image_fs = ReadFileSystem(image.fs_id().mountpoint());
  out->image_use = {static_cast<int64_t>(image.used_bytes().value()),
                    static_cast<int64_t>(image.inodes_used().value())};
}

PodSample Sampler::TakePod(const PodOnNode& pod, const StatsById& stats, bool with_disks,
                           WallTime now) {
  PodSample out;
  out.ns = pod.pod->metadata().namespace_();
  out.name = pod.pod->metadata().name();
  out.uid = pod.pod->metadata().uid();
  out.start_time_s = pod.pod->status().start_time().seconds();
  std::optional<WallTime> first_start;
  for (const ContainerState& container : pod.state.containers) {
    if (container.phase != ContainerState::Phase::kRunning) continue;
    const auto it = stats.find(container.id);
    if (it == stats.end() || !it->second->has_cpu() || !it->second->has_memory()) continue;
    ContainerSample sample;
    sample.name = container.name;
    sample.id = container.id;
    sample.image = container.image;
    sample.started_at = container.started_at;
    sample.compute.usage = UsageOf(*it->second);
    sample.compute.time = TimeOf(it->second->cpu().timestamp(), now);
    sample.compute.nanocores = rates_.Observe(container.id, sample.compute.usage.cpu_nanoseconds,
                                              now, container.started_at);
    const cri::FilesystemUsage& layer = it->second->writable_layer();
    sample.rootfs = {static_cast<int64_t>(layer.used_bytes().value()),
                     static_cast<int64_t>(layer.inodes_used().value())};
    if (with_disks) sample.logs = LogsOf(container.log_path);
    first_start = std::min(first_start.value_or(container.started_at), container.started_at);
    out.containers.push_back(std::move(sample));
  }
  if (const absl::StatusOr<Usage> usage = cgroups_.UsageOf(out.uid); usage.ok()) {
    const auto nanocores =
        rates_.Observe("pod " + out.uid, usage->cpu_nanoseconds, now, first_start);
    out.compute = ComputeSample{*usage, now, nanocores};
  }
  if (with_disks) TakeDisks(pod, &out);
  return out;
}

void Sampler::TakeDisks(const PodOnNode& pod, PodSample* out) {
  const std::vector<int32_t> processes = cgroups_.Processes(out->uid);
  out->processes = static_cast<int64_t>(processes.size());
  if (!pod.pod->spec().host_network() && !processes.empty()) {
    out->network = ParseNetDev(ReadMachineFile(
        absl::StrCat(options_.machine_root, "/proc/", processes.front(), "/net/dev")));
  }
  const std::map<std::string, Volumes::Size> sizes = Sizes(out->uid);
  for (const kube::core::v1::Volume& volume : pod.pod->spec().volumes()) {
    const auto it = sizes.find(volume.name());
    if (it == sizes.end()) continue;
    const kube::core::v1::VolumeSource& source = volume.volume_source();
    VolumeSample sample;
    sample.name = volume.name();
    sample.use = {it->second.used_bytes, it->second.inodes_used};
    if (source.has_persistent_volume_claim()) {
      sample.claim = source.persistent_volume_claim().claim_name();
    } else if (source.has_ephemeral()) {
      sample.claim = absl::StrCat(out->name, "-", volume.name());
    }
    sample.ephemeral = sample.claim.empty() && !source.has_host_path() &&
                       !(source.has_empty_dir() && source.empty_dir().medium() == "Memory");
    out->volumes.push_back(std::move(sample));
  }
}

std::map<std::string, Volumes::Size> Sampler::Sizes(const std::string& pod_uid) {
  const MonotonicTime now = clock_.Now();
  Walked& walked = walked_[pod_uid];
  if (walked.at == MonotonicTime() || now - walked.at >= kWalkAgainAfter) {
    walked = {now, volumes_.Sizes(pod_uid)};
  }
  return walked.sizes;
}

}  // namespace meltemi::kubelet
