#include "orchestrator/controllers/runtime/testing/world.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "kube/apps/v1/apps.pb.h"
#include "kube/core/v1/pod.pb.h"
#include "kube/queue/controller.h"

namespace meltemi::controllers {
namespace {

using kube::core::v1::Pod;

// Labels every pod with how many there are.
class Counting final : public Running {
 public:
  explicit Counting(Context& context)
      : context_(context), pods_(context.informers.ListerOf<Pod>()) {
    context.informers.Of<Pod>().AddHandler([this](const kube::Change& change) {
      queue_->Add(kube::NameOf(change.after == nullptr ? *change.before : *change.after));
    });
    queue_ = kube::NewController({.name = "counting"}, context.executor, nullptr,
                                 [this](const kube::NamespacedName& key) { return Do(key); });
  }
  void Start() override { queue_->Start(); }

 private:
  kube::ReconcileResult Do(const kube::NamespacedName& key) {
    const auto pod = pods_.Get(key);
    if (pod == nullptr || pod->metadata().labels().count("number") > 0) return kube::Finished();
    Pod changed = *pod;
    (*changed.mutable_metadata()->mutable_labels())["number"] = std::to_string(pods_.List().size());
    context_.recorder("counting").Record(*pod, kube::kNormal, "Counted", "one more");
    const kube::Result<Pod> written = kube::Update(context_.client, changed);
    if (!written.ok()) return written.status();
    return kube::Finished();
  }

  Context& context_;
  kube::Lister<Pod> pods_;
  std::unique_ptr<kube::Controller> queue_;
};

std::string PodYaml(absl::string_view name) {
  return absl::StrCat("{metadata: {name: ", name, "}, spec: {containers: [{name: c, image: i}]}}");
}

TEST(WorldTest, AControllerSeesAndActs) {
  World world;
  world.Create<Pod>(PodYaml("a"));
  world.Run(std::make_unique<Counting>(world.context()));
  world.Create<Pod>(PodYaml("b"));
  world.Settle();
  EXPECT_EQ(world.Get<Pod>("a").metadata().labels().at("number"), "1");
  EXPECT_EQ(world.Get<Pod>("b").metadata().labels().at("number"), "2");
  EXPECT_EQ(world.Events(), (std::vector<std::string>(2, "Normal Counted one more")));
}

TEST(WorldTest, FailuresAreTriedAgainWhenTimePasses) {
  World world;
  world.Run(std::make_unique<Counting>(world.context()));
  int refused = 0;
  world.process().SetFate([&refused](const kube::ApiCall& call) {
    if (call.method == "GET" || ++refused > 3) return apiserver::Fate::kPass;
    return apiserver::Fate::kRefuse;
  });
  world.Create<Pod>(PodYaml("a"));
  world.Settle();
  EXPECT_EQ(world.Get<Pod>("a").metadata().labels().count("number"), 0u);
  world.Advance(seconds(1));
  EXPECT_EQ(world.Get<Pod>("a").metadata().labels().count("number"), 1u);
}

TEST(WorldTest, PodsRunAndEnd) {
  World world;
  world.AddNode("node-1");
  world.Create<Pod>(PodYaml("a"));
  world.RunPods();
  EXPECT_EQ(world.Get<Pod>("a").spec().node_name(), "node-1");
  EXPECT_EQ(world.Get<Pod>("a").status().phase(), "Running");
  world.Delete<Pod>("a");
  EXPECT_TRUE(world.Get<Pod>("a").metadata().has_deletion_timestamp());
  world.ReapPods();
  EXPECT_FALSE(world.Find<Pod>("a").has_value());
}

TEST(WorldTest, AControllerIsKilledAndBeginsAgain) {
  World world;
  world.Run(std::make_unique<Counting>(world.context()));
  world.process().SetFate([](const kube::ApiCall&) { return apiserver::Fate::kLoseCall; });
  world.Create<Pod>(PodYaml("a"));
  world.Settle();
  world.Restart([](Context& context) { return std::make_unique<Counting>(context); });
  EXPECT_EQ(world.Get<Pod>("a").metadata().labels().at("number"), "1");
}

TEST(WorldTest, MistakesInTestsAreSeen) {
  World world;
  EXPECT_EQ(world.CreateFails<Pod>("{metadata: {name: a}, spec: {conteiners: []}}").code, 400);
  EXPECT_EQ(world.CreateFails<kube::apps::v1::Deployment>("{metadata: {name: a}, spec: {}}").reason,
            "Invalid");
}

}  // namespace
}  // namespace meltemi::controllers
