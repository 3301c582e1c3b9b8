#include "orchestrator/controllers/namespaces/conditions.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::NamespaceCondition;
using kube::core::v1::NamespaceStatus;

kube::meta::v1::Time At(int64_t seconds) {
  kube::meta::v1::Time time;
  time.set_seconds(seconds);
  return time;
}

std::string Told(const NamespaceStatus& status, absl::string_view type) {
  for (const NamespaceCondition& condition : status.conditions()) {
    if (condition.type() != type) continue;
    return absl::StrCat(condition.status(), "@", condition.last_transition_time().seconds(), " ",
                        condition.reason(), ": ", condition.message());
  }
  return "";
}

TEST(NamespaceConditions, SayThatAllIsWell) {
  NamespaceStatus status;
  EXPECT_TRUE(UpdateConditions({}, At(1), status));
  EXPECT_EQ(status.conditions_size(), 5);
  EXPECT_EQ(Told(status, "NamespaceDeletionDiscoveryFailure"),
            "False@1 ResourcesDiscovered: All resources successfully discovered");
  EXPECT_EQ(Told(status, "NamespaceDeletionGroupVersionParsingFailure"),
            "False@1 ParsedGroupVersions: All legacy kube types successfully parsed");
  EXPECT_EQ(Told(status, "NamespaceDeletionContentFailure"),
            "False@1 ContentDeleted: All content successfully deleted, may be waiting on "
            "finalization");
  EXPECT_EQ(Told(status, "NamespaceContentRemaining"),
            "False@1 ContentRemoved: All content successfully removed");
  EXPECT_EQ(Told(status, "NamespaceFinalizersRemaining"),
            "False@1 ContentHasNoFinalizers: All content-preserving finalizers finished");
  EXPECT_FALSE(UpdateConditions({}, At(2), status));
}

TEST(NamespaceConditions, SayWhatIsLeftAndWhy) {
  ContentReport report;
  report.remaining[{"", "pods"}] = 2;
  report.remaining[{"apps", "deployments"}] = 1;
  report.finalizers["example.com/wait"] = 3;
  NamespaceStatus status;
  UpdateConditions(report, At(1), status);
  EXPECT_EQ(Told(status, "NamespaceContentRemaining"),
            "True@1 SomeResourcesRemain: Some resources are remaining: deployments.apps has 1 "
            "resource instances, pods. has 2 resource instances");
  EXPECT_EQ(Told(status, "NamespaceFinalizersRemaining"),
            "True@1 SomeFinalizersRemain: Some content in the namespace has finalizers remaining: "
            "example.com/wait in 3 resource instances");
  // Another count is a change, but no transition.
  report.remaining[{"", "pods"}] = 1;
  EXPECT_TRUE(UpdateConditions(report, At(5), status));
  EXPECT_EQ(Told(status, "NamespaceContentRemaining").substr(0, 7), "True@1 ");
  EXPECT_TRUE(UpdateConditions({}, At(9), status));
  EXPECT_EQ(Told(status, "NamespaceContentRemaining").substr(0, 8), "False@9 ");
}

TEST(NamespaceConditions, SayWhatHasFailed) {
  ContentReport report;
  report.discovery_failure = "no route";
  report.failures = {"second", "first"};
  NamespaceStatus status;
  UpdateConditions(report, At(1), status);
  EXPECT_EQ(Told(status, "NamespaceDeletionDiscoveryFailure"), "True@1 DiscoveryFailed: no route");
  EXPECT_EQ(Told(status, "NamespaceDeletionContentFailure"),
            "True@1 ContentDeletionFailed: Failed to delete all resource types, 2 remaining: "
            "first, second");
}

}  // namespace
}  // namespace meltemi::controllers
