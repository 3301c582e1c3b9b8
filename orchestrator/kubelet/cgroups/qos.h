// Quality-of-service classes of pods, and the kernel's numbers for what they ask for.
//
// Threads: pure functions. Source: pkg/apis/core/v1/helper/qos, pkg/kubelet/cm/helpers_linux.go,
// component-helpers/resource (what a pod asks for as a whole).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace meltemi::kube::core::v1 {
class Container;
class Pod;
}  // namespace meltemi::kube::core::v1

namespace meltemi::kubelet {

enum class QosClass : uint8_t { kGuaranteed, kBurstable, kBestEffort };
QosClass QosClassOf(const kube::core::v1::Pod& pod);
const char* QosClassName(QosClass qos);  // "Guaranteed", "Burstable", "BestEffort"

constexpr int64_t kCpuSharesMin = 2;
constexpr int64_t kCpuPeriodMicros = 100'000;
// 1024 shares are one CPU; 2 to 262144.
int64_t MilliCpuToShares(int64_t milli_cpu);
// Microseconds of each period; 0: no limit.
int64_t MilliCpuToQuota(int64_t milli_cpu);
// The same relation on cgroup v2: 1 to 10000.
int64_t SharesToWeight(int64_t shares);

// What a container asks for. Milli-CPUs and bytes; 0: not said.
struct ContainerAmounts {
  std::optional<int64_t> cpu_request;  // without one the limit counts
  int64_t cpu_limit = 0, memory_request = 0, memory_limit = 0;
};
ContainerAmounts AmountsOf(const kube::core::v1::Container& container);

// The limits of the group of a pod; absent: none.
struct PodLimits {
  int64_t cpu_shares = kCpuSharesMin;
  std::optional<int64_t> cpu_quota_micros, memory_bytes;
  std::map<std::string, int64_t> hugepage_bytes;  // by page size: "2MB"
};
PodLimits PodLimitsOf(const kube::core::v1::Pod& pod);

// "2MB" of "hugepages-2Mi"; "": it is no such resource.
std::string HugepageSizeOf(const std::string& resource);

}  // namespace meltemi::kubelet
