#include "orchestrator/kubelet/cgroups/pod_cgroups.h"

#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "kube/core/v1/pod.pb.h"
#include "orchestrator/kubelet/cgroups/hierarchies.h"

namespace meltemi::kubelet {
namespace {

constexpr char kPods[] = "/kubepods";
const char* const kClasses[] = {"", "/burstable", "/besteffort"};

bool IsUid(const std::string& uid) {
  return !uid.empty() && uid.size() <= 128 && std::all_of(uid.begin(), uid.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '-' || c == '_';
  });
}

// A number of "name number" lines; 0 when there is none.
int64_t StatOf(const std::string& text, absl::string_view name) {
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> pair =
        absl::StrSplit(line, absl::MaxSplits(' ', 1));
    int64_t value = 0;
    if (pair.first == name && absl::SimpleAtoi(pair.second, &value)) return value;
  }
  return 0;
}

class PodCgroupsImpl final : public PodCgroups {
 public:
  PodCgroupsImpl(PodCgroupsOptions options, std::vector<Hierarchy> hierarchies)
      : options_(std::move(options)), hierarchies_(std::move(hierarchies)) {}

  absl::Status Prepare();
  absl::StatusOr<std::string> Ensure(const kube::core::v1::Pod& pod) override;
  absl::Status Remove(const std::string& pod_uid) override;
  absl::StatusOr<Usage> UsageOf(const std::string& pod_uid) override;
  absl::StatusOr<Usage> NodeUsage() override {
    if (options_.usage_root == "/") return Read("");
    return Read(options_.usage_root.empty() ? options_.root : options_.usage_root);
  }
  std::vector<int32_t> Processes(const std::string& pod_uid) override;

 private:
  std::string ClassGroup(const char* name) const {
    return absl::StrCat(options_.root, kPods, name);
  }
  const Hierarchy* With(absl::string_view controller) const;
  absl::Status Limit(const std::string& group, const PodLimits& limits);
  absl::Status LimitCpu(const std::string& group, const PodLimits& limits);
  absl::Status SetShares(const std::string& group, int64_t shares);
  // The class has the shares of its pods together.
  void ShareBurstable();
  absl::StatusOr<Usage> Read(const std::string& group) const;
  absl::Status ReadMemory(const Hierarchy& memory, const std::string& folder, Usage* out) const;

  const PodCgroupsOptions options_;
  const std::vector<Hierarchy> hierarchies_;
  std::mutex mutex_;  // held while groups are made and removed
};

const Hierarchy* PodCgroupsImpl::With(absl::string_view controller) const {
  // What a v1 hierarchy has, a v2 one beside it lacks.
  for (const Hierarchy& hierarchy : hierarchies_) {
    if (hierarchy.controllers.count(std::string(controller)) != 0) return &hierarchy;
  }
  return nullptr;
}

absl::Status PodCgroupsImpl::Prepare() {
  for (const char* needed : {"cpu", "memory"}) {
    if (With(needed) == nullptr) {
      return absl::FailedPreconditionError(
          absl::StrCat("the cgroup controller ", needed, " is not mounted at ", options_.mount,
                       "; enable it (kernel command line: cgroup_enable=", needed, ")"));
    }
  }
  for (const Hierarchy& hierarchy : hierarchies_) {
    for (const char* name : kClasses) {
      const absl::Status status = MakeGroup(hierarchy, ClassGroup(name));
      if (!status.ok()) return status;
    }
  }
  const int64_t cpus = std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
  absl::Status status = SetShares(ClassGroup(""), MilliCpuToShares(cpus * 1000));
  status.Update(SetShares(ClassGroup("/besteffort"), kCpuSharesMin));
  ShareBurstable();
  return status;
}

absl::Status PodCgroupsImpl::SetShares(const std::string& group, int64_t shares) {
  const Hierarchy& cpu = *With("cpu");
  const std::string folder = cpu.path + group;
  if (cpu.v2) return WriteGroupFile(folder, "cpu.weight", absl::StrCat(SharesToWeight(shares)));
  return WriteGroupFile(folder, "cpu.shares", absl::StrCat(shares));
}

void PodCgroupsImpl::ShareBurstable() {
  const Hierarchy& cpu = *With("cpu");
  const std::string folder = cpu.path + ClassGroup("/burstable");
  int64_t sum = 0;
  for (const std::string& name : GroupsIn(folder)) {
    const auto held =
        ReadGroupNumber(absl::StrCat(folder, "/", name), cpu.v2 ? "cpu.weight" : "cpu.shares");
    if (held.ok()) sum += *held;
  }
  // Only a hint for the scheduler: a group that is going away in this moment does no harm.
  if (cpu.v2) {
    sum = std::clamp<int64_t>(sum, 1, 10'000);
    (void)WriteGroupFile(folder, "cpu.weight", absl::StrCat(sum));
  } else {
    (void)WriteGroupFile(folder, "cpu.shares", absl::StrCat(std::max(sum, kCpuSharesMin)));
  }
}

absl::StatusOr<std::string> PodCgroupsImpl::Ensure(const kube::core::v1::Pod& pod) {
  const std::string& uid = pod.metadata().uid();
  if (!IsUid(uid)) return absl::InvalidArgumentError(absl::StrCat("no UID: \"", uid, "\""));
  const QosClass qos = QosClassOf(pod);
  const char* const name = qos == QosClass::kGuaranteed  ? ""
                           : qos == QosClass::kBurstable ? "/burstable"
                                                         : "/besteffort";
  const std::string group = absl::StrCat(ClassGroup(name), "/pod", uid);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const Hierarchy& hierarchy : hierarchies_) {
    const absl::Status status = MakeGroup(hierarchy, group);
    if (!status.ok()) return status;
  }
  const absl::Status status = Limit(group, PodLimitsOf(pod));
  if (!status.ok()) return status;
  if (qos == QosClass::kBurstable) ShareBurstable();
  return group;
}

absl::Status PodCgroupsImpl::LimitCpu(const std::string& group, const PodLimits& limits) {
  absl::Status status = SetShares(group, limits.cpu_shares);
  const Hierarchy& cpu = *With("cpu");
  const std::string folder = cpu.path + group;
  const int64_t quota = limits.cpu_quota_micros.value_or(0);
  if (cpu.v2) {
    status.Update(WriteGroupFile(
        folder, "cpu.max",
        absl::StrCat(quota > 0 ? absl::StrCat(quota) : "max", " ", kCpuPeriodMicros)));
    return status;
  }
  // A kernel without bandwidth control has no such files.
  if (quota > 0) {
    status.Update(WriteGroupFile(folder, "cpu.cfs_period_us", absl::StrCat(kCpuPeriodMicros)));
    status.Update(WriteGroupFile(folder, "cpu.cfs_quota_us", absl::StrCat(quota)));
  } else if (ReadGroupNumber(folder, "cpu.cfs_quota_us").value_or(-1) != -1) {
    status.Update(WriteGroupFile(folder, "cpu.cfs_quota_us", "-1"));
  }
  return status;
}

absl::Status PodCgroupsImpl::Limit(const std::string& group, const PodLimits& limits) {
  absl::Status status = LimitCpu(group, limits);
  const Hierarchy& memory = *With("memory");
  const std::string bytes =
      limits.memory_bytes.value_or(0) > 0 ? absl::StrCat(*limits.memory_bytes) : "";
  if (memory.v2) {
    status.Update(WriteGroupFile(memory.path + group, "memory.max", bytes.empty() ? "max" : bytes));
  } else {
    status.Update(
        WriteGroupFile(memory.path + group, "memory.limit_in_bytes", bytes.empty() ? "-1" : bytes));
  }
  const Hierarchy* const huge = With("hugetlb");
  for (const auto& [size, amount] : limits.hugepage_bytes) {
    if (huge == nullptr) break;
    status.Update(WriteGroupFile(
        huge->path + group, absl::StrCat("hugetlb.", size, huge->v2 ? ".max" : ".limit_in_bytes"),
        absl::StrCat(amount)));
  }
  return status;
}

absl::Status PodCgroupsImpl::Remove(const std::string& pod_uid) {
  if (!IsUid(pod_uid)) return absl::OkStatus();
  const std::lock_guard<std::mutex> lock(mutex_);
  absl::Status worst;
  for (const char* name : kClasses) {
    const std::string group = absl::StrCat(ClassGroup(name), "/pod", pod_uid);
    bool was_there = false;
    for (const Hierarchy& hierarchy : hierarchies_) {
      if (!GroupExists(hierarchy.path + group)) continue;
      was_there = true;
      worst.Update(RemoveGroup(hierarchy, group));
    }
    if (was_there && absl::string_view(name) == "/burstable") ShareBurstable();
  }
  return worst;
}

absl::StatusOr<Usage> PodCgroupsImpl::UsageOf(const std::string& pod_uid) {
  if (IsUid(pod_uid)) {
    const Hierarchy& memory = *With("memory");
    for (const char* name : kClasses) {
      const std::string group = absl::StrCat(ClassGroup(name), "/pod", pod_uid);
      if (GroupExists(memory.path + group)) return Read(group);
    }
  }
  return absl::NotFoundError(absl::StrCat("pod ", pod_uid, " has no control group"));
}

std::vector<int32_t> PodCgroupsImpl::Processes(const std::string& pod_uid) {
  constexpr size_t kProcessesMax = 1000;
  std::vector<int32_t> out;
  if (!IsUid(pod_uid)) return out;
  const Hierarchy& memory = *With("memory");
  for (const char* name : kClasses) {
    const std::string group = absl::StrCat(memory.path, ClassGroup(name), "/pod", pod_uid);
    if (!GroupExists(group)) continue;
    // Its containers and its sandbox have groups of their own right below.
    for (const std::string& child : GroupsIn(group)) {
      const auto text = ReadGroupFile(absl::StrCat(group, "/", child), "cgroup.procs");
      if (!text.ok()) continue;
      for (const absl::string_view line : absl::StrSplit(*text, '\n', absl::SkipEmpty())) {
        int32_t id = 0;
        if (out.size() < kProcessesMax && absl::SimpleAtoi(line, &id)) out.push_back(id);
      }
    }
  }
  return out;
}

absl::Status PodCgroupsImpl::ReadMemory(const Hierarchy& memory, const std::string& folder,
                                        Usage* out) const {
  const auto used = ReadGroupNumber(folder, memory.v2 ? "memory.current" : "memory.usage_in_bytes");
  const auto stat = ReadGroupFile(folder, "memory.stat");
  if (!stat.ok()) return stat.status();
  if (used.ok()) {
    out->memory_bytes = *used;
  } else if (memory.v2 && folder == memory.path) {
    // The top of v2 has no such file: the sum of what it is made of.
    out->memory_bytes = StatOf(*stat, "anon") + StatOf(*stat, "file") + StatOf(*stat, "kernel");
  } else {
    return used.status();
  }
  // Of v1 "total_…" counts the groups below, too.
  const std::string prefix = memory.v2 ? "" : "total_";
  const int64_t inactive = StatOf(*stat, prefix + "inactive_file");
  out->working_set_bytes = std::max<int64_t>(0, out->memory_bytes - inactive);
  out->rss_bytes = StatOf(*stat, memory.v2 ? "anon" : "total_rss");
  out->page_faults = StatOf(*stat, prefix + "pgfault");
  out->major_page_faults = StatOf(*stat, prefix + "pgmajfault");
  return absl::OkStatus();
}

absl::StatusOr<Usage> PodCgroupsImpl::Read(const std::string& group) const {
  Usage out;
  const Hierarchy& memory = *With("memory");
  const absl::Status status = ReadMemory(memory, memory.path + group, &out);
  if (!status.ok()) return status;
  if (const Hierarchy* const accounting = With("cpuacct")) {
    const auto used = ReadGroupNumber(accounting->path + group, "cpuacct.usage");
    if (!used.ok()) return used.status();
    out.cpu_nanoseconds = *used;
    return out;
  }
  const Hierarchy& cpu = *With("cpu");
  const auto stat = ReadGroupFile(cpu.path + group, "cpu.stat");
  if (!stat.ok()) return stat.status();
  out.cpu_nanoseconds = StatOf(*stat, "usage_usec") * 1000;
  return out;
}

}  // namespace

absl::StatusOr<std::unique_ptr<PodCgroups>> NewPodCgroups(const PodCgroupsOptions& options) {
  auto hierarchies = FindHierarchies(options.mount);
  if (!hierarchies.ok()) return hierarchies.status();
  PodCgroupsOptions cleaned = options;
  while (absl::EndsWith(cleaned.root, "/")) cleaned.root.pop_back();
  auto out = std::make_unique<PodCgroupsImpl>(std::move(cleaned), *std::move(hierarchies));
  const absl::Status status = out->Prepare();
  if (!status.ok()) return status;
  return out;
}

}  // namespace meltemi::kubelet
