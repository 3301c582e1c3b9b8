#include "test/scenarios/statistics.h"

#include "gtest/gtest.h"

namespace meltemi::scenarios {
namespace {

TEST(Binomial, AgreesWithTheTextbook) {
  // 2 · (1 + 10 + 45) / 1024: at most two heads, or at least eight, in ten tosses.
  EXPECT_NEAR(BinomialPValue(2, 10, 0.5), 0.109375, 1e-9);
  EXPECT_NEAR(BinomialPValue(5, 10, 0.5), 1.0, 1e-9);
  EXPECT_NEAR(BinomialPValue(0, 3, 0.5), 0.25, 1e-9);
}

TEST(Binomial, RefusesAShareThatIsOff) {
  EXPECT_TRUE(FitsShare(300, 1000, 0.3));
  EXPECT_TRUE(FitsShare(335, 1000, 0.3));
  EXPECT_FALSE(FitsShare(370, 1000, 0.3));
  EXPECT_FALSE(FitsShare(230, 1000, 0.3));
  EXPECT_FALSE(FitsShare(1, 1000, 0));
  EXPECT_TRUE(FitsShare(0, 1000, 0));
  EXPECT_FALSE(FitsShare(999, 1000, 1));
}

}  // namespace
}  // namespace meltemi::scenarios
