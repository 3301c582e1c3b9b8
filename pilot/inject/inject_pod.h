// A pod without a sidecar in, a pod with one out.
//
// Threads: functions without state.
#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/json/value.h"
#include "pilot/inject/settings.h"
#include "pilot/inject/workload.h"

namespace meltemi::pilot {

struct InjectedPod {
  json::Value pod;
  std::vector<std::string> warnings;
};

// `pod`: metadata and spec; `ns` is its namespace, which its metadata need not tell yet. What an
// earlier injection has left in it is replaced: injecting twice is injecting once. Error
// (InvalidArgument): an annotation or the spec is not what it must be.
absl::StatusOr<InjectedPod> InjectPod(const json::Value& pod, absl::string_view ns,
                                      const WorkloadMeta& workload, const InjectSettings& settings);

}  // namespace meltemi::pilot
