// From what metrics ask for to what is done: stabilization windows, rates, the bounds of the
// HorizontalPodAutoscaler. Pure functions on what is remembered of one of them.
//
// Threads: plain values. Source: pkg/controller/podautoscaler's rules; HPA's documentation of
// "configurable scaling behavior".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/clock/clock.h"
#include "kube/autoscaling/v2/autoscaling.pb.h"

namespace meltemi::controllers {

// What a controller remembers of one autoscaler. Lost with the process: the first recommendation
// afterwards is what the target has by then.
struct ScalingMemory {
  struct Recommendation {
    int32_t replicas = 0;
    MonotonicTime time;
  };
  struct Event {
    int32_t change = 0;  // positive in both lists
    MonotonicTime time;
  };
  std::vector<Recommendation> recommendations;
  std::vector<Event> ups, downs;
};

struct ScalingQuestion {
  int32_t current = 0, desired = 0, min = 1, max = 1;
  // Null: the rules of autoscalers that say nothing about it.
  const kube::autoscaling::v2::HorizontalPodAutoscalerBehavior* behavior = nullptr;
  Duration downscale_stabilization{0};
  MonotonicTime now;
};

struct ScalingAnswer {
  int32_t replicas = 0;
  // AbleToScale (always True).
  std::string able_reason, able_message;
  // ScalingLimited.
  bool limited = false;
  std::string limited_reason, limited_message;
};

ScalingAnswer DecideReplicas(const ScalingQuestion& question, ScalingMemory* memory);

// The first recommendation is what was there.
void RememberStart(int32_t replicas, MonotonicTime now, ScalingMemory* memory);
// The target has been scaled.
void RememberScaling(const ScalingQuestion& question, int32_t replicas, ScalingMemory* memory);

}  // namespace meltemi::controllers
