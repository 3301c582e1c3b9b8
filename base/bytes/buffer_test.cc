#include "base/bytes/buffer.h"

#include <string>

#include "base/random/random.h"
#include "gtest/gtest.h"

namespace meltemi {
namespace {

TEST(Buffer, AppendsAndDrainsAcrossBlocks) {
  Buffer buffer;
  const std::string big(3 * Buffer::kBlockBytes + 7, 'x');
  buffer.Append("head");
  buffer.Append(big);
  EXPECT_EQ(buffer.size(), big.size() + 4);
  buffer.Drain(4);
  EXPECT_TRUE(buffer == big);
  buffer.Drain(big.size());
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.Front(), "");
}

TEST(Buffer, ReserveWithoutCommitLeavesNothingBehind) {
  Buffer buffer;
  size_t room = 0;
  ASSERT_NE(buffer.Reserve(100, &room), nullptr);
  EXPECT_GE(room, 100u);
  buffer.Commit(0);
  EXPECT_TRUE(buffer.empty());
  buffer.Append("a");
  EXPECT_EQ(buffer.ToString(), "a");
}

TEST(Buffer, LinearizeJoinsRunsAndKeepsTheRest) {
  Buffer buffer;
  buffer.Append(std::string(Buffer::kBlockBytes - 2, 'a'));
  buffer.Append("bcdef");
  buffer.Drain(Buffer::kBlockBytes - 3);
  EXPECT_EQ(buffer.Linearize(4), "abcd");
  EXPECT_EQ(buffer.ToString(), "abcdef");
}

TEST(Buffer, MoveFromTakesPartOfABlock) {
  Buffer from("hello world");
  Buffer to;
  to.MoveFrom(from, 5);
  EXPECT_EQ(to.ToString(), "hello");
  EXPECT_EQ(from.ToString(), " world");
  to.MoveFrom(from);
  EXPECT_EQ(to.ToString(), "hello world");
  EXPECT_TRUE(from.empty());
}

TEST(Buffer, GatherStopsAtTheSpan) {
  Buffer buffer;
  buffer.Append(std::string(5 * Buffer::kBlockBytes, 'z'));
  iovec vectors[3];
  EXPECT_EQ(buffer.Gather(absl::MakeSpan(vectors)), 3u);
  EXPECT_EQ(vectors[0].iov_len, Buffer::kBlockBytes);
}

// Every operation against a plain string, many times over.
TEST(Buffer, BehavesLikeAString) {
  FastRandom random(7);
  Buffer a, b;
  std::string want_a, want_b;
  for (int step = 0; step < 20000; ++step) {
    switch (random.Below(7)) {
      case 0: {
        const std::string piece(random.Below(40000), static_cast<char>('a' + random.Below(26)));
        a.Append(piece);
        want_a += piece;
        break;
      }
      case 1: {
        const size_t count = random.Below(want_a.size() + 1);
        a.Drain(count);
        want_a.erase(0, count);
        break;
      }
      case 2: {
        const size_t count = random.Below(want_a.size() + 1);
        b.MoveFrom(a, count);
        want_b += want_a.substr(0, count);
        want_a.erase(0, count);
        break;
      }
      case 3: {
        const size_t count = random.Below(want_b.size() + 1);
        EXPECT_EQ(b.Linearize(count), want_b.substr(0, count));
        break;
      }
      case 4:
        if (want_b.size() < 100000) {
          b.CopyFrom(a);
          want_b += want_a;
        }
        break;
      case 5: {
        const size_t offset = random.Below(want_b.size() + 1);
        std::string out(want_b.size() - offset, ' ');
        b.CopyOut(offset, out.size(), out.data());
        EXPECT_EQ(out, want_b.substr(offset));
        break;
      }
      case 6:
        if (want_b.size() > 200000) {
          b.Clear();
          want_b.clear();
        }
        if (want_a.size() > 200000) {
          a = Buffer("fresh");
          want_a = "fresh";
        }
        break;
    }
    ASSERT_EQ(a.size(), want_a.size());
    ASSERT_EQ(b.size(), want_b.size());
  }
  EXPECT_TRUE(a == want_a);
  EXPECT_TRUE(b == want_b);
}

}  // namespace
}  // namespace meltemi
