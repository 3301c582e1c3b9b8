// The tutorial on a real cluster, from its first step to its last: with the user's own manifests,
// unchanged, with kubectl, containers and injected sidecars. Each step is a test; a request that
// fails while pods come and go fails it.
#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "absl/status/statusor.h"
#include "test/nodes/cluster.h"
#include "test/nodes/cluster_world.h"
#include "test/nodes/tutorial_steps.h"
#include "test/scenarios/programs.h"
#include "test/scenarios/tutorial.h"

namespace meltemi::nodes {
namespace {

// One cluster for all steps: a step builds on those before it.
class TutorialTest : public testing::TestWithParam<size_t> {
 protected:
  static void TearDownTestSuite() {
    world().reset();
    cluster().reset();
  }
  static std::unique_ptr<Cluster>& cluster() {
    static auto& cluster = *new std::unique_ptr<Cluster>();
    return cluster;
  }
  static std::unique_ptr<scenarios::World>& world() {
    static auto& world = *new std::unique_ptr<scenarios::World>();
    return world;
  }
  static std::string Folder() { return scenarios::UserTutorialFolder(); }

  void SetUp() override {
    if (Folder().empty()) GTEST_SKIP() << "the tutorial's manifests are not beside the checkout";
    static auto& why_not = *new std::string();
    if (cluster() == nullptr && why_not.empty()) {
      ClusterOptions options{
          .up_args = TutorialSteps::ClusterArgs(), .mesh = true, .images = TutorialSteps::Images()};
      for (const char* image : {"flaskapp", "httpbin", "sleep"}) options.images.push_back(image);
      cluster() = Cluster::Up(options, &why_not);
    }
    if (cluster() == nullptr) GTEST_SKIP() << why_not;
  }

  static void Expect(const std::vector<Row>& rows) {
    EXPECT_FALSE(rows.empty());
    for (const Row& row : rows) {
      std::printf("%s: %s: %s\n", row.step.c_str(), row.asked.c_str(), row.measured.c_str());
      EXPECT_TRUE(row.passed) << row.step << ": " << row.asked << "\n  measured: " << row.measured;
    }
  }
};

class OrchestratorSteps : public TutorialTest {};
class MeshSteps : public TutorialTest {};

TEST_P(OrchestratorSteps, MeasureWhatTheTutorialPromises) {
  TutorialSteps steps(*cluster(), Folder());
  Expect(TutorialSteps::Steps()[GetParam()].run(steps));
}

TEST_P(MeshSteps, MeasureWhatTheTutorialPromises) {
  if (world() == nullptr) {
    auto started = StartClusterWorld(*cluster(), Folder());
    ASSERT_TRUE(started.ok()) << started.status();
    world() = std::move(*started);
  }
  scenarios::Tutorial tutorial(
      *world(),
      scenarios::Manifests::Tutorial(Folder(), scenarios::WorkspaceFile("examples/tutorial")));
  Expect(scenarios::Tutorial::Steps()[GetParam()].run(tutorial));
}

INSTANTIATE_TEST_SUITE_P(Tutorial, OrchestratorSteps,
                         testing::Range<size_t>(0, TutorialSteps::Steps().size()),
                         [](const auto& info) { return TutorialSteps::Steps()[info.param].name; });
INSTANTIATE_TEST_SUITE_P(Tutorial, MeshSteps,
                         testing::Range<size_t>(0, scenarios::Tutorial::Steps().size()),
                         [](const auto& info) {
                           return scenarios::Tutorial::Steps()[info.param].name;
                         });

}  // namespace
}  // namespace meltemi::nodes
