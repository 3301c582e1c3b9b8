// Conditions as users read them: on the objects of our API server.
#include "pilot/status/conditions.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "pilot/leader/leadership.h"
#include "pilot/status/programmed_fake.h"
#include "test/pilot_kube/kube_mesh.h"

namespace meltemi::pilot {
namespace {

constexpr char kRule[] = "/apis/networking.istio.io/v1/namespaces/default/virtualservices/r";

std::string Rule(absl::string_view host) {
  return absl::StrCat("{apiVersion: networking.istio.io/v1, kind: VirtualService, ",
                      "metadata: {name: r}, spec: {hosts: [web], http: [{route: ",
                      "[{destination: {host: ", host, "}}]}]}}");
}

class ConditionsStory : public testing::Test {
 protected:
  ConditionsStory() {
    mesh_.InstallDefinitions();
    mesh_.Apply("{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}");
    mesh_.Apply(Rule("web"));
    mesh_.Start();
    conditions_ =
        NewConditions(mesh_.loop(), mesh_.client(), mesh_.executor(), programmed_, mesh_.source());
    leadership_ =
        StartLeadership(mesh_.loop(), mesh_.client(), mesh_.executor(), {.identity = "pilot-1"},
                        [this](bool leading) { conditions_->SetLeading(leading); });
    mesh_.Wait(milliseconds(100));
  }
  // Leadership and conditions speak to the source.
  ~ConditionsStory() override {
    leadership_ = nullptr;
    conditions_ = nullptr;
  }
  // What `kubectl wait --for=condition=TYPE` goes by: "True@2".
  std::string Condition(absl::string_view type) {
    const json::Value object = mesh_.Get(kRule);
    const json::Value* conditions = object.Find("status", "conditions");
    if (conditions == nullptr) return "none";
    for (const json::Value& condition : conditions->items()) {
      if (condition.FindString("type") != type) continue;
      return absl::StrCat(condition.FindString("status"), "@",
                          condition.Find("observedGeneration")->text(), "/",
                          object.Find("metadata", "generation")->text());
    }
    return "none";
  }
  const ObjectKey key_{.kind = Kind::kVirtualService, .ns = "default", .name = "r"};

  KubeMesh mesh_;
  ProgrammedFake programmed_;
  std::unique_ptr<Conditions> conditions_;
  std::unique_ptr<Leadership> leadership_;
};

TEST_F(ConditionsStory, ARuleIsProgrammedOnceItsProxiesHaveIt) {
  EXPECT_EQ(Condition("Programmed"), "none");
  programmed_.Set(key_, {.generation = 1, .concerned = 2, .acknowledged = 2});
  mesh_.Wait(milliseconds(100));
  EXPECT_EQ(Condition("Programmed"), "True@1/1");
  EXPECT_EQ(Condition("Accepted"), "True@1/1");

  mesh_.Apply(Rule("other"));
  mesh_.Wait(seconds(1));
  EXPECT_EQ(Condition("Programmed"), "True@1/2");  // observed: the version before
  programmed_.Set(key_, {.generation = 2, .concerned = 2, .acknowledged = 1});
  mesh_.Wait(seconds(2));
  EXPECT_EQ(Condition("Programmed"), "False@2/2");
  programmed_.Set(key_, {.generation = 2, .concerned = 2, .acknowledged = 2});
  mesh_.Wait(milliseconds(100));
  EXPECT_EQ(Condition("Programmed"), "True@2/2");
}

TEST_F(ConditionsStory, OurOwnWritesAreNoChangesAndEndByThemselves) {
  mesh_.Told();
  programmed_.Set(key_, {.generation = 1});
  mesh_.Wait(seconds(60));
  EXPECT_TRUE(mesh_.Told().empty());
  EXPECT_EQ(conditions_->stats().written, 1u);
  EXPECT_EQ(conditions_->stats().failed, 0u);
}

TEST_F(ConditionsStory, AnInvalidVersionIsToldAndAGoodOneMendsIt) {
  programmed_.Set(key_, {.generation = 1});
  mesh_.Wait(milliseconds(100));
  mesh_.Apply(Rule("a b"));
  mesh_.Wait(milliseconds(200));
  EXPECT_EQ(Condition("Accepted"), "False@2/2");
  EXPECT_EQ(Condition("Programmed"), "False@2/2");
  mesh_.Apply(Rule("web"));
  mesh_.Wait(milliseconds(200));
  programmed_.Set(key_, {.generation = 3});
  mesh_.Wait(milliseconds(100));
  EXPECT_EQ(Condition("Accepted"), "True@3/3");
}

TEST_F(ConditionsStory, AWriteThatIsLostOnTheWayIsMadeUpFor) {
  int calls = 0;
  mesh_.process().SetFate([&calls](const kube::ApiCall& call) {
    if (call.method != "PATCH") return apiserver::Fate::kPass;
    return ++calls == 1 ? apiserver::Fate::kLoseAnswer : apiserver::Fate::kPass;
  });
  programmed_.Set(key_, {.generation = 1});
  mesh_.Wait(seconds(2));
  EXPECT_EQ(Condition("Programmed"), "True@1/1");
  EXPECT_EQ(calls, 1);  // the watch tells that it took place
}

}  // namespace
}  // namespace meltemi::pilot
