#include "orchestrator/controllers/namespaces/conditions.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::NamespaceCondition;
using kube::core::v1::NamespaceStatus;

struct Finding {
  const char* type;
  const char* fine_reason;
  const char* fine_message;
  const char* bad_reason;
  std::string bad_message;  // empty: all is well
};

std::string ContentFailure(const ContentReport& report) {
  if (report.failures.empty()) return "";
  std::vector<std::string> sorted = report.failures;
  std::sort(sorted.begin(), sorted.end());
  return absl::StrCat("Failed to delete all resource types, ", sorted.size(),
                      " remaining: ", absl::StrJoin(sorted, ", "));
}

std::string Remaining(const ContentReport& report) {
  std::vector<std::string> each;
  for (const auto& [which, count] : report.remaining) {
    if (count == 0) continue;
    each.push_back(
        absl::StrCat(which.resource, ".", which.group, " has ", count, " resource instances"));
  }
  if (each.empty()) return "";
  std::sort(each.begin(), each.end());
  return absl::StrCat("Some resources are remaining: ", absl::StrJoin(each, ", "));
}

std::string Finalizers(const ContentReport& report) {
  std::vector<std::string> each;
  for (const auto& [finalizer, count] : report.finalizers) {
    if (count != 0) each.push_back(absl::StrCat(finalizer, " in ", count, " resource instances"));
  }
  if (each.empty()) return "";
  return absl::StrCat("Some content in the namespace has finalizers remaining: ",
                      absl::StrJoin(each, ", "));
}

bool Apply(const Finding& finding, const kube::meta::v1::Time& now, NamespaceStatus& status) {
  const bool bad = !finding.bad_message.empty();
  NamespaceCondition wanted;
  wanted.set_type(finding.type);
  wanted.set_status(bad ? "True" : "False");
  wanted.set_reason(bad ? finding.bad_reason : finding.fine_reason);
  wanted.set_message(bad ? finding.bad_message : finding.fine_message);
  *wanted.mutable_last_transition_time() = now;
  for (NamespaceCondition& old : *status.mutable_conditions()) {
    if (old.type() != finding.type) continue;
    const bool same_status = old.status() == wanted.status();
    if (same_status && old.reason() == wanted.reason() && old.message() == wanted.message()) {
      return false;
    }
    if (same_status) *wanted.mutable_last_transition_time() = old.last_transition_time();
    old = std::move(wanted);
    return true;
  }
  *status.add_conditions() = std::move(wanted);
  return true;
}

}  // namespace

bool UpdateConditions(const ContentReport& report, const kube::meta::v1::Time& now,
                      NamespaceStatus& status) {
  const Finding findings[] = {
      {"NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered",
       "All resources successfully discovered", "DiscoveryFailed", report.discovery_failure},
      {"NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions",
       "All legacy kube types successfully parsed", "", ""},
      {"NamespaceDeletionContentFailure", "ContentDeleted",
       "All content successfully deleted, may be waiting on finalization", "ContentDeletionFailed",
       ContentFailure(report)},
      {"NamespaceContentRemaining", "ContentRemoved", "All content successfully removed",
       "SomeResourcesRemain", Remaining(report)},
      {"NamespaceFinalizersRemaining", "ContentHasNoFinalizers",
       "All content-preserving finalizers finished", "SomeFinalizersRemain", Finalizers(report)},
  };
  bool changed = false;
  for (const Finding& finding : findings) changed = Apply(finding, now, status) || changed;
  return changed;
}

}  // namespace meltemi::controllers
