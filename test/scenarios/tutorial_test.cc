// Every row of the tutorial's mesh half as a test: with our own manifests, with the user's where
// they lie beside the checkout, and with the real Envoy as the sidecar of every pod, over either
// protocol.

#include "test/scenarios/tutorial.h"

#include <memory>
#include <string>

#include "gtest/gtest.h"
#include "test/machine/pods.h"
#include "test/scenarios/machine_world.h"
#include "test/scenarios/programs.h"

namespace meltemi::scenarios {
namespace {

enum class Setting : uint8_t { kExamples, kUser, kEnvoy, kEnvoyDelta };
constexpr const char* kSettingNames[] = {"Examples", "User", "Envoy", "EnvoyDelta"};

bool IsEnvoy(Setting setting) {
  return setting == Setting::kEnvoy || setting == Setting::kEnvoyDelta;
}

machine::PodSpec::Sidecar SidecarOf(Setting setting) {
  if (setting == Setting::kEnvoy) return machine::PodSpec::Sidecar::kEnvoy;
  if (setting == Setting::kEnvoyDelta) return machine::PodSpec::Sidecar::kEnvoyDelta;
  return machine::PodSpec::Sidecar::kMeltemi;
}

struct Case {
  Setting setting;
  size_t step;
};

// One mesh for all steps of a setting: a step builds on those before it.
class TutorialTest : public testing::TestWithParam<Case> {
 protected:
  struct Shared {
    Setting setting;
    std::unique_ptr<World> world;
    std::string why_not;  // why there is none
    Manifests manifests;
  };

  void SetUp() override {
    if (const std::string why = machine::WhyNoNamespaces(); !why.empty()) GTEST_SKIP() << why;
    const Setting setting = GetParam().setting;
    if (setting == Setting::kUser && UserTutorialFolder().empty()) {
      GTEST_SKIP() << "the user's tutorial is not beside this checkout";
    }
    if (shared_ == nullptr || shared_->setting != setting) {
      // One at a time: the other's load would disturb the figures.
      delete shared_;
      shared_ = new Shared{setting, nullptr, "", {}};
      StartMesh();
    }
    if (!shared_->why_not.empty()) GTEST_SKIP() << shared_->why_not;
    ASSERT_NE(shared_->world, nullptr);
  }

  void StartMesh() {
    machine::Programs programs = BuiltPrograms();
    const bool envoy = IsEnvoy(shared_->setting);
    if (envoy) programs.envoy = FetchPeer("envoy", &shared_->why_not);
    if (!shared_->why_not.empty()) return;
    const std::string examples = WorkspaceFile("examples/tutorial");
    shared_->manifests = shared_->setting == Setting::kUser
                             ? Manifests::Tutorial(UserTutorialFolder(), examples)
                             : Manifests::Examples(examples);
    auto started = StartMachineWorld(programs, FreshFolder("tutorial"), SidecarOf(shared_->setting),
                                     [](const std::string&) {});
    ASSERT_TRUE(started.ok()) << started.status();
    shared_->world = std::move(*started);
  }

  static void TearDownTestSuite() {
    delete shared_;
    shared_ = nullptr;
  }

  static Shared* shared_;
};
TutorialTest::Shared* TutorialTest::shared_ = nullptr;

TEST_P(TutorialTest, MeasuresWhatTheTutorialPromises) {
  Tutorial tutorial(*shared_->world, shared_->manifests);
  for (const Row& row : Tutorial::Steps()[GetParam().step].run(tutorial)) {
    EXPECT_TRUE(row.passed) << row.step << ": " << row.asked << "\n  measured: " << row.measured;
  }
}

std::vector<Case> Cases() {
  std::vector<Case> cases;
  for (const Setting setting :
       {Setting::kExamples, Setting::kUser, Setting::kEnvoy, Setting::kEnvoyDelta}) {
    for (size_t step = 0; step < Tutorial::Steps().size(); ++step) {
      if (IsEnvoy(setting) && !Tutorial::Steps()[step].for_envoy) continue;
      cases.push_back({setting, step});
    }
  }
  return cases;
}

INSTANTIATE_TEST_SUITE_P(Steps, TutorialTest, testing::ValuesIn(Cases()), [](const auto& info) {
  return kSettingNames[static_cast<int>(info.param.setting)] +
         Tutorial::Steps()[info.param.step].name;
});

}  // namespace
}  // namespace meltemi::scenarios
