#include "orchestrator/kubelet/cgroups/qos.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "kube/core/v1/container.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/quantity/quantity.h"

namespace meltemi::kubelet {
namespace {

using kube::Quantity;
using kube::core::v1::Container;
using kube::core::v1::Pod;
using Amounts = std::map<std::string, Quantity>;

constexpr int64_t kSharesMax = 262'144;
constexpr int64_t kQuotaMin = 1000;

template <typename Map>
Amounts Parsed(const Map& map) {
  Amounts out;
  for (const auto& [name, text] : map) {
    if (const auto quantity = Quantity::Parse(text.string())) out[name] = *quantity;
  }
  return out;
}

void Add(const Amounts& from, Amounts* to) {
  for (const auto& [name, quantity] : from) (*to)[name] += quantity;
}

void Max(const Amounts& from, Amounts* to) {
  for (const auto& [name, quantity] : from) {
    Quantity& held = (*to)[name];
    if (held < quantity) held = quantity;
  }
}

bool IsSidecar(const Container& container) { return container.restart_policy() == "Always"; }

Amounts RequestsOf(const Container& container) {
  // A limit stands for a request that is not said.
  Amounts out = Parsed(container.resources().requests());
  for (const auto& [name, quantity] : Parsed(container.resources().limits())) {
    out.emplace(name, quantity);
  }
  return out;
}

Amounts LimitsOf(const Container& container) { return Parsed(container.resources().limits()); }

// Containers and sidecars run together; each init container with the sidecars before it.
Amounts Together(const Pod& pod, Amounts (*of)(const Container&)) {
  Amounts out;
  for (const Container& container : pod.spec().containers()) Add(of(container), &out);
  Amounts sidecars, at_start;
  for (const Container& container : pod.spec().init_containers()) {
    const Amounts amounts = of(container);
    if (IsSidecar(container)) {
      Add(amounts, &out);
      Add(amounts, &sidecars);
      Max(sidecars, &at_start);
    } else {
      Amounts now = sidecars;
      Add(amounts, &now);
      Max(now, &at_start);
    }
  }
  Max(at_start, &out);
  return out;
}

int64_t Milli(const Amounts& amounts, const std::string& name) {
  const auto it = amounts.find(name);
  return it == amounts.end() ? 0 : it->second.MilliValue();
}

int64_t Whole(const Amounts& amounts, const std::string& name) {
  const auto it = amounts.find(name);
  return it == amounts.end() ? 0 : it->second.Value();
}

// Every container has a limit of it, init containers too.
bool AllLimited(const Pod& pod, const std::string& name) {
  const auto limited = [&](const Container& container) {
    return Whole(LimitsOf(container), name) > 0;
  };
  const auto& containers = pod.spec().containers();
  const auto& inits = pod.spec().init_containers();
  return std::all_of(containers.begin(), containers.end(), limited) &&
         std::all_of(inits.begin(), inits.end(), limited);
}

}  // namespace

const char* QosClassName(QosClass qos) {
  switch (qos) {
    case QosClass::kGuaranteed:
      return "Guaranteed";
    case QosClass::kBurstable:
      return "Burstable";
    case QosClass::kBestEffort:
      break;
  }
  return "BestEffort";
}

QosClass QosClassOf(const Pod& pod) {
  Amounts requests, limits;
  bool all_limited = true;
  const auto count = [&](const Container& container) {
    const auto relevant = [](Amounts amounts) {
      Amounts out;
      for (const char* name : {"cpu", "memory"}) {
        const auto it = amounts.find(name);
        if (it != amounts.end() && it->second.Sign() > 0) out[name] = it->second;
      }
      return out;
    };
    const Amounts own = relevant(LimitsOf(container));
    Add(relevant(Parsed(container.resources().requests())), &requests);
    Add(own, &limits);
    if (own.size() < 2) all_limited = false;
  };
  for (const Container& container : pod.spec().containers()) count(container);
  for (const Container& container : pod.spec().init_containers()) count(container);
  if (requests.empty() && limits.empty()) return QosClass::kBestEffort;
  const bool same = std::all_of(requests.begin(), requests.end(), [&](const auto& request) {
    const auto limit = limits.find(request.first);
    return limit != limits.end() && limit->second == request.second;
  });
  // The API server has made requests of limits where they were missing.
  const bool guaranteed = all_limited && same && requests.size() == limits.size();
  return guaranteed ? QosClass::kGuaranteed : QosClass::kBurstable;
}

int64_t MilliCpuToShares(int64_t milli_cpu) {
  if (milli_cpu <= 0) return kCpuSharesMin;
  return std::clamp<int64_t>(milli_cpu * 1024 / 1000, kCpuSharesMin, kSharesMax);
}

int64_t MilliCpuToQuota(int64_t milli_cpu) {
  if (milli_cpu <= 0) return 0;
  return std::max(milli_cpu * kCpuPeriodMicros / 1000, kQuotaMin);
}

int64_t SharesToWeight(int64_t shares) {
  return 1 + (std::clamp(shares, kCpuSharesMin, kSharesMax) - 2) * 9999 / 262'142;
}

ContainerAmounts AmountsOf(const Container& container) {
  const Amounts requests = Parsed(container.resources().requests());
  const Amounts limits = LimitsOf(container);
  ContainerAmounts out;
  if (requests.count("cpu") != 0) out.cpu_request = Milli(requests, "cpu");
  out.cpu_limit = Milli(limits, "cpu");
  out.memory_request = Whole(requests, "memory");
  out.memory_limit = Whole(limits, "memory");
  return out;
}

PodLimits PodLimitsOf(const Pod& pod) {
  Amounts requests = Together(pod, RequestsOf);
  Amounts limits = Together(pod, LimitsOf);
  const Amounts overhead = Parsed(pod.spec().overhead());
  Add(overhead, &requests);
  for (const auto& [name, quantity] : overhead) {
    if (limits.count(name) != 0) limits[name] += quantity;
  }
  PodLimits out;
  for (const auto& [name, quantity] : requests) {
    const std::string size = HugepageSizeOf(name);
    if (!size.empty()) out.hugepage_bytes[size] = quantity.Value();
  }
  const QosClass qos = QosClassOf(pod);
  if (qos == QosClass::kBestEffort) return out;
  out.cpu_shares = MilliCpuToShares(Milli(requests, "cpu"));
  if (qos == QosClass::kGuaranteed || AllLimited(pod, "cpu")) {
    out.cpu_quota_micros = MilliCpuToQuota(Milli(limits, "cpu"));
  }
  if (qos == QosClass::kGuaranteed || AllLimited(pod, "memory")) {
    out.memory_bytes = Whole(limits, "memory");
  }
  return out;
}

std::string HugepageSizeOf(const std::string& resource) {
  absl::string_view size = resource;
  if (!absl::ConsumePrefix(&size, "hugepages-")) return "";
  const auto quantity = Quantity::Parse(size);
  if (!quantity || quantity->Value() <= 0) return "";
  int64_t value = quantity->Value();
  const char* unit = "B";
  for (const char* next : {"KB", "MB", "GB", "TB"}) {
    if (value % 1024 != 0) break;
    value /= 1024;
    unit = next;
  }
  return absl::StrCat(value, unit);
}

}  // namespace meltemi::kubelet
