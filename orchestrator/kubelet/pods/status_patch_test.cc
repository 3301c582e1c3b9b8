#include "orchestrator/kubelet/pods/status_patch.h"

#include "gtest/gtest.h"
#include "kube/codec/codec.h"

namespace meltemi::kubelet {
namespace {

using kube::core::v1::PodStatus;

PodStatus Status(absl::string_view json) {
  PodStatus out;
  EXPECT_TRUE(kube::FromJson(json, &out).ok()) << json;
  return out;
}

TEST(PodStatusPatch, NothingWhereNothingDiffers) {
  const PodStatus status = Status(
      R"({"phase":"Running","conditions":[{"type":"Ready","status":"True","lastProbeTime":null,)"
      R"("lastTransitionTime":"2026-01-01T00:00:00Z"}],"podIPs":[{"ip":"1.2.3.4"}]})");
  EXPECT_EQ(PodStatusPatch("u", status, status), "");
  // What is not a kubelet's is left alone.
  PodStatus more = status;
  more.set_nominated_node_name("n");
  *more.add_conditions() =
      Status(R"({"conditions":[{"type":"x/y","status":"True"}]})").conditions(0);
  EXPECT_EQ(PodStatusPatch("u", more, status), "");
}

TEST(PodStatusPatch, SaysWhatIsNewAndTakesAwayWhatIsNoMore) {
  const PodStatus before =
      Status(R"({"phase":"Pending","message":"m","podIP":"1.1.1.1","podIPs":[{"ip":"1.1.1.1"}]})");
  const PodStatus after =
      Status(R"({"phase":"Running","podIP":"1.1.1.2","podIPs":[{"ip":"1.1.1.2"}]})");
  EXPECT_EQ(PodStatusPatch("u-1", before, after),
            R"({"metadata":{"uid":"u-1"},"status":{"phase":"Running","message":null,)"
            R"("podIP":"1.1.1.2","podIPs":[{"ip":"1.1.1.2"},{"$patch":"replace"}]}})");
}

TEST(PodStatusPatch, ConditionsOneByOne) {
  const PodStatus before =
      Status(R"({"conditions":[{"type":"Ready","status":"False","reason":"r","message":"m"},)"
             R"({"type":"Initialized","status":"True"}]})");
  const PodStatus after = Status(R"({"conditions":[{"type":"Ready","status":"True"},)"
                                 R"({"type":"Initialized","status":"True"}]})");
  EXPECT_EQ(PodStatusPatch("u", before, after),
            R"({"metadata":{"uid":"u"},"status":{"conditions":[{"type":"Ready","status":"True",)"
            R"("lastProbeTime":null,"lastTransitionTime":null,"reason":null,"message":null}]}})");
}

}  // namespace
}  // namespace meltemi::kubelet
