#include "test/sim/simulation.h"

#include <gtest/gtest.h>

#include "absl/strings/str_join.h"
#include "base/log/log.h"

namespace meltemi::sim {
namespace {

// Under a sanitizer a seed takes many times as long.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kSeeds = 20;
#else
constexpr uint64_t kSeeds = 300;
#endif
// A case of so many seeds, so that a listing stays readable and shards are of one size.
constexpr uint64_t kSeedsPerCase = 10;

class SimulationTest : public testing::TestWithParam<uint64_t> {
 protected:
  void SetUp() override { log::SetLevel("*", "off"); }
};

TEST_P(SimulationTest, WhateverHappensAllIsRight) {
  for (uint64_t i = 0; i < kSeedsPerCase; ++i) {
    const uint64_t seed = GetParam() * kSeedsPerCase + i + 1;
    const SimulationResult result = Simulate({.seed = seed});
    EXPECT_TRUE(result.findings.empty())
        << "seed " << seed << " (./meltemi test --sim-seed " << seed << "):\n"
        << absl::StrJoin(result.findings, "\n");
    EXPECT_GT(result.writes, 150u);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, SimulationTest,
                         testing::Range<uint64_t>(0, kSeeds / kSeedsPerCase));

TEST(ReplayTest, ASeedGivesTheSameHistoryTwice) {
  log::SetLevel("*", "off");
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const SimulationResult first = Simulate({.seed = seed}), second = Simulate({.seed = seed});
    EXPECT_EQ(first.history_hash, second.history_hash) << "seed " << seed;
    EXPECT_EQ(first.steps, second.steps);
  }
  EXPECT_NE(Simulate({.seed = 1}).history_hash, Simulate({.seed = 2}).history_hash);
}

}  // namespace
}  // namespace meltemi::sim
