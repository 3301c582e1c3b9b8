#include "base/bytes/xxhash.h"

#include <string>

#include "gtest/gtest.h"

namespace meltemi {
namespace {

// The reference values of xxHash's own documentation and of its sanity test.
TEST(XxHash64, AgreesWithTheReference) {
  EXPECT_EQ(XxHash64(""), 0xEF46DB3751D8E999u);
  EXPECT_EQ(XxHash64("a"), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(XxHash64("abc"), 0x44BC2CF5AD770999u);
  EXPECT_EQ(XxHash64("foo"), 0x33BF00A859C4BA3Fu);
  EXPECT_EQ(XxHash64("Nobody inspects the spammish repetition"), 0xFBCEA83C8A378BF1u);
}

TEST(XxHash64, DependsOnTheSeedAndOnEveryByte) {
  const std::string text(100, 'x');
  EXPECT_NE(XxHash64(text, 0), XxHash64(text, 1));
  for (size_t i = 0; i < text.size(); ++i) {
    std::string other = text;
    other[i] = 'y';
    EXPECT_NE(XxHash64(text), XxHash64(other)) << i;
  }
}

}  // namespace
}  // namespace meltemi
