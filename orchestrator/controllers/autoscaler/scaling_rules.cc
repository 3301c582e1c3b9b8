#include "orchestrator/controllers/autoscaler/scaling_rules.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/string_view.h"

namespace meltemi::controllers {
namespace {

using kube::autoscaling::v2::HPAScalingPolicy;
using kube::autoscaling::v2::HPAScalingRules;
using Events = std::vector<ScalingMemory::Event>;

constexpr int32_t kFreeScaleUp = 4;  // so many are always allowed

// Recommendations that no window reaches back to are forgotten.
void Recommend(const ScalingQuestion& question, Duration longest_window, ScalingMemory* memory) {
  auto& all = memory->recommendations;
  all.erase(
      std::remove_if(all.begin(), all.end(),
                     [&](const auto& old) { return old.time < question.now - longest_window; }),
      all.end());
  all.push_back({question.desired, question.now});
}

struct Limit {
  int32_t bound;
  absl::string_view reason, message;
};

constexpr absl::string_view kUpRate =
    "the desired replica count is increasing faster than the maximum scale rate";
constexpr absl::string_view kDownRate =
    "the desired replica count is decreasing faster than the maximum scale rate";
constexpr absl::string_view kTooMany =
    "the desired replica count is more than the maximum replica count";
constexpr absl::string_view kTooFew =
    "the desired replica count is less than the minimum replica count";

void SetLimited(const Limit& limit, ScalingAnswer* out) {
  out->replicas = limit.bound;
  out->limited = true;
  out->limited_reason = std::string(limit.reason);
  out->limited_message = std::string(limit.message);
}

// `stabilized` within [least, most].
void Bound(int32_t stabilized, const Limit& least, const Limit& most, ScalingAnswer* out) {
  out->replicas = stabilized;
  out->limited = false;
  out->limited_reason = "DesiredWithinRange";
  out->limited_message = "the desired count is within the acceptable range";
  if (stabilized < least.bound) return SetLimited(least, out);
  if (stabilized > most.bound) SetLimited(most, out);
}

void SetAble(const ScalingQuestion& question, int32_t stabilized, bool up, ScalingAnswer* out) {
  if (stabilized == question.desired) {
    out->able_reason = "ReadyForNewScale";
    out->able_message = "recommended size matches current size";
  } else if (up) {
    out->able_reason = "ScaleUpStabilized";
    out->able_message =
        "recent recommendations were lower than current one, applying the lowest recent "
        "recommendation";
  } else {
    out->able_reason = "ScaleDownStabilized";
    out->able_message =
        "recent recommendations were higher than current one, applying the highest recent "
        "recommendation";
  }
}

ScalingAnswer DecidePlainly(const ScalingQuestion& question, ScalingMemory* memory) {
  ScalingAnswer out;
  int32_t stabilized = question.desired;
  for (const auto& old : memory->recommendations) {
    if (old.time < question.now - question.downscale_stabilization) continue;
    stabilized = std::max(stabilized, old.replicas);
  }
  Recommend(question, question.downscale_stabilization, memory);
  SetAble(question, stabilized, false, &out);
  const int32_t rate = std::max(2 * question.current, kFreeScaleUp);
  const Limit most = question.max > rate ? Limit{rate, "ScaleUpLimit", kUpRate}
                                         : Limit{question.max, "TooManyReplicas", kTooMany};
  Bound(stabilized, {question.min, "TooFewReplicas", kTooFew}, most, &out);
  return out;
}

int32_t ChangeWithin(const Events& events, int32_t period_s, MonotonicTime now) {
  int32_t sum = 0;
  for (const ScalingMemory::Event& event : events) {
    if (event.time > now - seconds(period_s)) sum += event.change;
  }
  return sum;
}

// Where the policies let it go, in one direction (+1 up, -1 down).
int32_t RateLimit(const ScalingQuestion& question, const HPAScalingRules& rules, int direction,
                  const ScalingMemory& memory) {
  if (rules.select_policy() == "Disabled") return question.current;
  const bool least_change = rules.select_policy() == "Min";
  const bool wants_max = (direction > 0) != least_change;
  int32_t out =
      wants_max ? std::numeric_limits<int32_t>::min() : std::numeric_limits<int32_t>::max();
  for (const HPAScalingPolicy& policy : rules.policies()) {
    const int32_t before = question.current -
                           ChangeWithin(memory.ups, policy.period_seconds(), question.now) +
                           ChangeWithin(memory.downs, policy.period_seconds(), question.now);
    const double share = 1 + direction * policy.value() / 100.0;
    int32_t allowed = before + direction * policy.value();
    if (policy.type() == "Percent") {
      // Upwards it is rounded up: else few replicas would never become more.
      allowed = static_cast<int32_t>(direction > 0 ? std::ceil(before * share) : before * share);
    }
    out = wants_max ? std::max(out, allowed) : std::min(out, allowed);
  }
  return direction > 0 ? std::max(out, question.current) : std::min(out, question.current);
}

Duration WindowOf(const HPAScalingRules& rules, Duration fallback) {
  return rules.has_stabilization_window_seconds()
             ? Duration(seconds(rules.stabilization_window_seconds()))
             : fallback;
}

ScalingAnswer DecideByBehavior(const ScalingQuestion& question, ScalingMemory* memory) {
  ScalingAnswer out;
  const HPAScalingRules& up = question.behavior->scale_up();
  const HPAScalingRules& down = question.behavior->scale_down();
  const Duration up_window = WindowOf(up, Duration(0));
  const Duration down_window = WindowOf(down, question.downscale_stabilization);
  int32_t highest = question.desired, lowest = question.desired;
  for (const auto& old : memory->recommendations) {
    if (old.time > question.now - up_window) lowest = std::min(lowest, old.replicas);
    if (old.time > question.now - down_window) highest = std::max(highest, old.replicas);
  }
  const int32_t stabilized = std::min(std::max(question.current, lowest), highest);
  Recommend(question, std::max(up_window, down_window), memory);
  SetAble(question, stabilized, question.desired >= question.current, &out);

  Limit least{question.min, "TooFewReplicas", kTooFew};
  Limit most{question.max, "TooManyReplicas", kTooMany};
  if (stabilized > question.current) {
    const int32_t rate = RateLimit(question, up, 1, *memory);
    if (rate < question.max) most = {rate, "ScaleUpLimit", kUpRate};
    least.bound = std::numeric_limits<int32_t>::min();
  } else if (stabilized < question.current) {
    const int32_t rate = RateLimit(question, down, -1, *memory);
    if (rate > question.min) least = {rate, "ScaleDownLimit", kDownRate};
    most.bound = std::numeric_limits<int32_t>::max();
  } else {
    least.bound = most.bound = stabilized;
  }
  Bound(stabilized, least, most, &out);
  return out;
}

int32_t LongestPeriod(const HPAScalingRules& rules) {
  int32_t out = 0;
  for (const HPAScalingPolicy& policy : rules.policies()) {
    out = std::max(out, policy.period_seconds());
  }
  return out;
}

}  // namespace

ScalingAnswer DecideReplicas(const ScalingQuestion& question, ScalingMemory* memory) {
  return question.behavior == nullptr ? DecidePlainly(question, memory)
                                      : DecideByBehavior(question, memory);
}

void RememberStart(int32_t replicas, MonotonicTime now, ScalingMemory* memory) {
  if (memory->recommendations.empty()) memory->recommendations.push_back({replicas, now});
}

void RememberScaling(const ScalingQuestion& question, int32_t replicas, ScalingMemory* memory) {
  if (question.behavior == nullptr) return;  // nothing would look at it
  const bool up = replicas > question.current;
  Events& events = up ? memory->ups : memory->downs;
  const int32_t period_s =
      LongestPeriod(up ? question.behavior->scale_up() : question.behavior->scale_down());
  events.erase(std::remove_if(events.begin(), events.end(),
                              [&](const ScalingMemory::Event& event) {
                                return event.time < question.now - seconds(period_s);
                              }),
               events.end());
  events.push_back({std::abs(replicas - question.current), question.now});
}

}  // namespace meltemi::controllers
