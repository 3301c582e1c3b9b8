#include "proxy/app/drain.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/loop/loop_fake.h"

namespace meltemi::proxy {
namespace {

class FakeDrainable final : public Drainable {
 public:
  explicit FakeDrainable(Loop& loop) : loop_(loop) {}
  void AnnounceEnd() override { events.push_back("announce"); }
  void StopAccepting() override { events.push_back("stop"); }
  void CountConnections(absl::AnyInvocable<void(size_t)> done) override {
    loop_.Post([this, done = std::move(done)]() mutable { done(open); });
  }
  void Drained() override { events.push_back("drained"); }

  size_t open = 0;
  std::vector<std::string> events;

 private:
  Loop& loop_;
};

class DrainTest : public testing::Test {
 protected:
  using Events = std::vector<std::string>;
  FakeClock clock_;
  FakeLoop loop_{clock_};
  FakeDrainable what_{loop_};
  Drain drain_{loop_, what_, {.grace = seconds(1), .time_max = seconds(10)}};
};

TEST_F(DrainTest, WithNothingInFlightItEndsAfterTheGrace) {
  drain_.Begin();
  EXPECT_EQ(what_.events, Events{"announce"});
  loop_.Advance(milliseconds(900));
  EXPECT_EQ(what_.events, Events{"announce"});
  loop_.Advance(milliseconds(200));
  EXPECT_EQ(what_.events, (Events{"announce", "stop", "drained"}));
}

TEST_F(DrainTest, WhatIsInFlightIsWaitedFor) {
  what_.open = 2;
  drain_.Begin();
  loop_.Advance(seconds(5));
  EXPECT_EQ(what_.events, (Events{"announce", "stop"}));
  what_.open = 0;
  loop_.Advance(milliseconds(100));
  EXPECT_EQ(what_.events.back(), "drained");
}

TEST_F(DrainTest, ButNotForEver) {
  what_.open = 1;
  drain_.Begin();
  loop_.Advance(milliseconds(10900));
  EXPECT_EQ(what_.events.back(), "stop");
  loop_.Advance(milliseconds(200));
  EXPECT_EQ(what_.events.back(), "drained");
  loop_.Advance(seconds(10));
  EXPECT_EQ(what_.events.size(), 3u);
}

TEST_F(DrainTest, BeginningTwiceIsBeginningOnce) {
  drain_.Begin();
  drain_.Begin();
  loop_.Advance(seconds(2));
  EXPECT_EQ(what_.events.size(), 3u);
}

}  // namespace
}  // namespace meltemi::proxy
