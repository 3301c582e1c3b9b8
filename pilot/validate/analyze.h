// What is wrong between objects: names that nothing answers to, rules that compete. Findings of an
// analysis stop no object from taking effect: another object may yet come.
#pragma once

#include <string>
#include <vector>

#include "pilot/ingest/diagnostic.h"
#include "pilot/ingest/object.h"

namespace meltemi::pilot {

struct AnalyzeOptions {
  std::string domain = "cluster.local";
  std::string root_namespace = "istio-system";
};

// `objects`: the whole configuration, each object valid on its own, no key twice. Sorted. Pure.
std::vector<Diagnostic> Analyze(const std::vector<ObjectPtr>& objects,
                                const AnalyzeOptions& options = {});

}  // namespace meltemi::pilot
