#include "kube/client/typed.h"

#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/client/client_fake.h"
#include "kube/core/v1/node.pb.h"
#include "kube/core/v1/pod.pb.h"

namespace meltemi::kube {
namespace {

using core::v1::Pod;

TEST(ResourceTest, KindsSayWhereTheyAreServed) {
  const ApiResource& deployments = ResourceOf<apps::v1::Deployment>();
  EXPECT_EQ(deployments.group_version_kind(), (GroupVersionKind{"apps", "v1", "Deployment"}));
  EXPECT_EQ(deployments.Path("ns", "web", "scale"),
            "/apis/apps/v1/namespaces/ns/deployments/web/scale");
  EXPECT_EQ(ResourceOf<Pod>().Path(""), "/api/v1/pods");
  EXPECT_TRUE(ResourceOf<Pod>().namespaced);
  EXPECT_EQ(ResourceOf<core::v1::Node>().Path("ignored", "n1"), "/api/v1/nodes/n1");
}

TEST(TypedTest, CallsAreMadeOfTheObject) {
  ClientFake client;
  client.on_call = [](const ApiCall& call) -> Result<ApiAnswer> {
    return ApiAnswer{.body = R"({"metadata":{"name":"stored","resourceVersion":"7"}})"};
  };
  Pod pod;
  pod.mutable_metadata()->set_namespace_("ns");
  EXPECT_EQ(Create(client, pod)->metadata().name(), "stored");
  pod.mutable_metadata()->set_name("a");
  pod.mutable_metadata()->add_managed_fields()->set_manager("m");
  EXPECT_TRUE(Update(client, pod).ok());
  EXPECT_TRUE(UpdateStatus(client, pod).ok());
  EXPECT_TRUE(Get<Pod>(client, "ns", "a").ok());
  EXPECT_TRUE(Patch<Pod>(client, "ns", "a", PatchType::kMerge, "{}", "status", "me").ok());
  const std::vector<ApiCall> calls = client.calls();
  EXPECT_FALSE(absl::StrContains(calls[1].body, "managedFields"));
  EXPECT_EQ(calls[4].content_type, "application/merge-patch+json");
  EXPECT_EQ(client.TakeCalls(),
            (std::vector<std::string>{
                "POST /api/v1/namespaces/ns/pods", "PUT /api/v1/namespaces/ns/pods/a",
                "PUT /api/v1/namespaces/ns/pods/a/status", "GET /api/v1/namespaces/ns/pods/a",
                "PATCH /api/v1/namespaces/ns/pods/a/status?fieldManager=me"}));
}

TEST(TypedTest, DeletesWithPreconditions) {
  ClientFake client;
  client.on_call = [](const ApiCall&) { return ApiAnswer{.body = "{}"}; };
  EXPECT_TRUE(Delete<Pod>(client, "ns", "a",
                          {.grace_period_seconds = 0, .uid = "u", .propagation = "Background"})
                  .ok());
  EXPECT_EQ(client.calls()[0].body,
            R"({"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0,)"
            R"("preconditions":{"uid":"u"},"propagationPolicy":"Background"})");
}

TEST(TypedTest, ListsAreReadPageByPage) {
  ClientFake client;
  client.on_call = [](const ApiCall& call) -> Result<ApiAnswer> {
    const bool second = call.query.back().first == "continue";
    return ApiAnswer{.body = second ? R"({"metadata":{"resourceVersion":"5"},
                                          "items":[{"metadata":{"name":"b"}}]})"
                                    : R"({"metadata":{"resourceVersion":"5","continue":"x"},
                                          "items":[{"metadata":{"name":"a"}}]})"};
  };
  const auto pods = List<Pod>(client, {.ns = "ns", .label_selector = "a=b"});
  ASSERT_TRUE(pods.ok());
  ASSERT_EQ(pods->size(), 2);
  EXPECT_EQ((*pods)[1].metadata().name(), "b");
  EXPECT_EQ(client.TakeCalls(),
            (std::vector<std::string>{
                "GET /api/v1/namespaces/ns/pods?labelSelector=a=b&limit=500",
                "GET /api/v1/namespaces/ns/pods?labelSelector=a=b&limit=500&continue=x"}));
}

TEST(TypedTest, AListThatGrowsTooOldIsReadAtOnce) {
  ClientFake client;
  client.on_call = [](const ApiCall& call) -> Result<ApiAnswer> {
    if (call.query.empty()) return ApiAnswer{.body = R"({"items":[{},{},{}]})"};
    if (call.query.back().first == "continue") return ResourceExpired("too old");
    return ApiAnswer{.body = R"({"metadata":{"continue":"x"},"items":[{}]})"};
  };
  EXPECT_EQ(List<Pod>(client)->size(), 3);
}

TEST(TypedTest, ModifyStartsAgainWhenSomebodyWasFaster) {
  ClientFake client;
  int puts = 0;
  client.on_call = [&](const ApiCall& call) -> Result<ApiAnswer> {
    if (call.method == "PUT" && ++puts < 3) return ModifiedConflict({"", "pods"}, "a");
    return ApiAnswer{.body = R"({"metadata":{"name":"a"}})"};
  };
  const auto rename = [](Pod& pod) {
    pod.mutable_spec()->set_node_name("n1");
    return true;
  };
  EXPECT_TRUE(Modify<Pod>(client, "ns", "a", rename).ok());
  EXPECT_EQ(puts, 3);
}

TEST(TypedTest, AnAnswerThatIsNoneIsAFailureOfTheWay) {
  ClientFake client;
  client.on_call = [](const ApiCall&) { return ApiAnswer{.body = "<html>"}; };
  const Result<Pod> pod = Get<Pod>(client, "ns", "a");
  ASSERT_FALSE(pod.ok());
  EXPECT_TRUE(IsTransient(pod.status()));
  EXPECT_EQ(pod.status().message,
            "GET /api/v1/namespaces/ns/pods/a: the answer can't be read: an object was expected");
}

}  // namespace
}  // namespace meltemi::kube
