// metrics.k8s.io beside kubelets that answer, that do not, and that answer nonsense.
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock/clock_fake.h"
#include "base/yaml/parse.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "orchestrator/apiserver/authn/object_cache_fake.h"
#include "orchestrator/apiserver/https_client/https_server_fake.h"
#include "orchestrator/apiserver/usage/metrics_api.h"

namespace meltemi::apiserver {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string Figures(int64_t nanocores, int64_t bytes) {
  return absl::StrCat(R"("cpu":{"time":"2026-01-01T00:00:00Z","usageNanoCores":)", nanocores,
                      R"(},"memory":{"workingSetBytes":)", bytes, "}");
}

std::string PodStats(absl::string_view name, absl::string_view figures) {
  return absl::StrCat(R"({"podRef":{"name":")", name, R"(","namespace":"default","uid":"uid-)",
                      name, R"("},"containers":[{"name":"web",)", figures, "}]}");
}

class UsageTest : public testing::Test {
 protected:
  UsageTest() {
    nodes_ = ResourceOf("nodes", "NodeMetrics", false);
    pods_ = ResourceOf("pods", "PodMetrics", true);
    HttpsClientOptions options;
    options.verify = false;
    client_ = NewHttpsClient(clock_, options);
    kubelets_ = std::make_unique<Kubelets>(*client_, fake_clock_,
                                           KubeletsOptions{.timeout = milliseconds(500)});
    api_ = std::make_unique<MetricsApi>(cache_, *kubelets_, fake_clock_);
  }
  static Resource ResourceOf(const char* plural, const char* kind, bool namespaced) {
    Resource out;
    out.group = "metrics.k8s.io";
    out.version = "v1beta1";
    out.plural = plural;
    out.kind = kind;
    out.namespaced = namespaced;
    return out;
  }
  void AddNode(absl::string_view name, uint16_t port) {
    Put("nodes", absl::StrCat("{metadata: {name: ", name, ", labels: {kind: ", name,
                              "}}, status: {addresses: [{type: InternalIP, address: 127.0.0.1}], ",
                              "daemonEndpoints: {kubeletEndpoint: {Port: ", port, "}}}}"));
  }
  void AddPod(absl::string_view name, absl::string_view node) {
    Put("pods", absl::StrCat("{metadata: {name: ", name, ", namespace: default, uid: uid-", name,
                             ", labels: {app: web}}, spec: {nodeName: ", node, "}}"));
  }
  void Put(absl::string_view plural, const std::string& yaml) {
    cache_.Put({"", std::string(plural)}, *yaml::Parse(yaml));
  }
  std::vector<std::string> Read(const Resource& resource, absl::string_view name = "",
                                absl::string_view labels = "") {
    const auto read = api_->Read(resource, resource.namespaced ? "default" : "", name,
                                 *kube::LabelSelector::Parse(labels), kube::FieldSelector());
    if (!read.ok()) return {read.status().message};
    std::vector<std::string> out;
    for (const ObjectPtr& object : *read) out.push_back(object->json);
    return out;
  }

  SystemClock clock_;
  FakeClock fake_clock_;
  ObjectCacheFake cache_;
  Resource nodes_, pods_;
  std::unique_ptr<HttpsClient> client_;
  std::unique_ptr<Kubelets> kubelets_;
  std::unique_ptr<MetricsApi> api_;
};

TEST_F(UsageTest, TellsWhatKubeletsSay) {
  std::atomic<int> asked{0};
  HttpsServerFake kubelet({"n"}, [&](const std::string& path, const std::string&) {
    EXPECT_EQ(path, "/stats/summary");
    ++asked;
    return HttpsServerFake::Answer{
        200, absl::StrCat(R"({"node":{)", Figures(1'500'000'000, 2048), R"(},"pods":[)",
                          PodStats("a", Figures(250'000'000, 1048576)), ",",
                          PodStats("young", R"("startTime":"x")"), "]}")};
  });
  AddNode("n1", kubelet.address().port());
  for (const char* name : {"a", "young", "elsewhere"}) AddPod(name, "n1");
  EXPECT_THAT(Read(nodes_),
              ElementsAre(HasSubstr(R"("usage":{"cpu":"1500000000n","memory":"2Ki"})")));
  const std::vector<std::string> pods = Read(pods_);
  ASSERT_EQ(pods.size(), 1u);
  EXPECT_THAT(pods[0], HasSubstr(R"("name":"a","namespace":"default")"));
  EXPECT_THAT(pods[0],
              HasSubstr(R"({"name":"web","usage":{"cpu":"250000000n","memory":"1024Ki"}})"));
  EXPECT_THAT(pods[0], HasSubstr(R"("timestamp":"2026-01-01T00:00:00Z","window":"10s")"));
  EXPECT_THAT(pods[0], HasSubstr(R"("labels":{"app":"web"})"));
  EXPECT_EQ(Read(pods_, "a").size(), 1u);
  EXPECT_THAT(Read(pods_, "young"),
              ElementsAre("podmetrics.metrics.k8s.io \"default/young\" not found"));
  EXPECT_THAT(Read(pods_, "never"),
              ElementsAre("podmetrics.metrics.k8s.io \"default/never\" not found"));
  EXPECT_THAT(Read(nodes_, "", "kind=other"), IsEmpty());
  // All of this was one question; it is asked again when the answer has become old.
  EXPECT_EQ(asked, 1);
  fake_clock_.Advance(seconds(11));
  Read(pods_);
  EXPECT_EQ(asked, 2);
}

TEST_F(UsageTest, LeavesOutWhoDoesNotAnswer) {
  HttpsServerFake good({"n"}, [](const std::string&, const std::string&) {
    return HttpsServerFake::Answer{200, absl::StrCat(R"({"node":{)", Figures(1, 1), "}}")};
  });
  HttpsServerFake silent({"n"}, [](const std::string&, const std::string&) {
    return HttpsServerFake::Answer{.never = true};
  });
  HttpsServerFake odd({"n"}, [](const std::string&, const std::string&) {
    return HttpsServerFake::Answer{200, R"({"node":{"cpu":{"usageNanoCores":-5}}})"};
  });
  HttpsServerFake refusing({"n"}, [](const std::string&, const std::string&) {
    return HttpsServerFake::Answer{401, "who are you?"};
  });
  AddNode("good", good.address().port());
  AddNode("silent", silent.address().port());
  AddNode("odd", odd.address().port());
  AddNode("refusing", refusing.address().port());
  AddNode("closed", 1);
  EXPECT_THAT(Read(nodes_), ElementsAre(HasSubstr(R"("name":"good")")));
  EXPECT_THAT(Read(nodes_, "silent"),
              ElementsAre("nodemetrics.metrics.k8s.io \"silent\" not found"));
}

}  // namespace
}  // namespace meltemi::apiserver
