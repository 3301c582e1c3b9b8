// What users read in the status of a namespace that is being deleted: what could not be found out,
// what could not be deleted, what is still there and why.
//
// Threads: functions without state. Source: the conditions of Kubernetes' namespace controller.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kube/core/v1/namespace.pb.h"
#include "kube/meta/v1/meta.pb.h"
#include "kube/names/names.h"

namespace meltemi::controllers {

// What one pass over the content of a namespace has met with.
struct ContentReport {
  std::string discovery_failure;      // empty: none
  std::vector<std::string> failures;  // of deletions
  std::map<kube::GroupResource, int64_t> remaining;
  std::map<std::string, int64_t> finalizers;  // how many objects wait for each
  int64_t estimate_s = 0;                     // until what remains may be gone

  bool failed() const { return !discovery_failure.empty() || !failures.empty(); }
};

// Brings the five conditions up to date; whether anything has changed.
bool UpdateConditions(const ContentReport& report, const kube::meta::v1::Time& now,
                      kube::core::v1::NamespaceStatus& status);

}  // namespace meltemi::controllers
