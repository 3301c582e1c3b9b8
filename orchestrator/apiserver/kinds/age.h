// Ages as Kubernetes prints them.
//
// Threads: functions without state. Source: k8s.io/apimachinery/pkg/util/duration.
#pragma once

#include <cstdint>
#include <string>

namespace meltemi::apiserver {

// Two or three significant digits: "95s", "5m3s", "3h12m", "2d5h", "41d", "3y20d". "<invalid>" when
// it lies in the future by more than clocks differ.
std::string HumanDuration(int64_t seconds);

}  // namespace meltemi::apiserver
