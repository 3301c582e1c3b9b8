#include "orchestrator/controllers/nodes/tolerations.h"

#include <algorithm>

namespace meltemi::controllers {

using kube::core::v1::PodSpec;
using kube::core::v1::Taint;
using kube::core::v1::Toleration;

bool Tolerates(const Toleration& toleration, const Taint& taint) {
  if (!toleration.effect().empty() && toleration.effect() != taint.effect()) return false;
  if (!toleration.key().empty() && toleration.key() != taint.key()) return false;
  if (toleration.operator_() == "Exists") return true;
  const bool is_equal = toleration.operator_().empty() || toleration.operator_() == "Equal";
  return is_equal && toleration.value() == taint.value();
}

std::optional<Duration> ToleratedFor(const PodSpec& pod, const std::vector<Taint>& taints) {
  // Longer times than these are for ever as far as clocks are concerned.
  constexpr int64_t kSecondsMax = int64_t{1} << 32;
  std::optional<Duration> shortest;
  for (const Taint& taint : taints) {
    const auto fits = std::find_if(
        pod.tolerations().begin(), pod.tolerations().end(),
        [&taint](const Toleration& toleration) { return Tolerates(toleration, taint); });
    if (fits == pod.tolerations().end()) return Duration::zero();
    if (!fits->has_toleration_seconds()) continue;
    const int64_t time_s = std::clamp<int64_t>(fits->toleration_seconds(), 0, kSecondsMax);
    shortest = std::min<Duration>(shortest.value_or(seconds(kSecondsMax)), seconds(time_s));
  }
  return shortest;
}

}  // namespace meltemi::controllers
