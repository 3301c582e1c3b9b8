#include "base/loop/loop.h"

#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <thread>
#include <vector>

#include "base/loop/loop_fake.h"
#include "base/random/random.h"
#include "gtest/gtest.h"

namespace meltemi {
namespace {

struct Deleted final : Deferrable {
  explicit Deleted(std::vector<std::string>* log) : log_(log) {}
  ~Deleted() override { log_->push_back("deleted"); }
  std::vector<std::string>* log_;
};

struct LogTask final : TurnEndTask {
  explicit LogTask(std::vector<std::string>* log) : log_(log) {}
  void RunAtTurnEnd() override { log_->push_back("turn end"); }
  std::vector<std::string>* log_;
};

TEST(EventLoop, RunsPostedThenTurnEndThenDeletes) {
  SystemClock clock;
  auto loop = NewEventLoop(clock);
  std::vector<std::string> log;
  LogTask task(&log);
  loop->Post([&] {
    loop->DeferDelete(std::make_unique<Deleted>(&log));
    loop->AtTurnEnd(&task);
    loop->AtTurnEnd(&task);
    log.push_back("posted");
    loop->Exit();
  });
  loop->Run();
  EXPECT_EQ(log, (std::vector<std::string>{"posted", "turn end", "deleted"}));
}

TEST(EventLoop, PostsFromOtherThreadsAllRun) {
  SystemClock clock;
  auto loop = NewEventLoop(clock);
  int ran = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 1000; ++i) {
        loop->Post([&] {
          EXPECT_TRUE(loop->IsLoopThread());
          if (++ran == 4000) loop->Exit();
        });
      }
    });
  }
  loop->Run();
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ran, 4000);
}

TEST(EventLoop, TimersFireInOrderOfTheirDeadlines) {
  SystemClock clock;
  auto loop = NewEventLoop(clock);
  std::vector<int> fired;
  auto late = loop->NewTimer([&] {
    fired.push_back(20);
    loop->Exit();
  });
  auto early = loop->NewTimer([&] { fired.push_back(5); });
  auto never = loop->NewTimer([&] { fired.push_back(-1); });
  late->Arm(milliseconds(20));
  never->Arm(milliseconds(10));
  early->Arm(milliseconds(5));
  never->Disarm();
  loop->Run();
  EXPECT_EQ(fired, (std::vector<int>{5, 20}));
}

TEST(EventLoop, EdgeWatchTellsOfBytesAndOfTheEnd) {
  SystemClock clock;
  auto loop = NewEventLoop(clock);
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_NONBLOCK), 0);
  std::string got;
  auto watch = loop->WatchFd(fds[0], FdTrigger::kEdge, kFdReadable | kFdClosed, [&](uint8_t) {
    char bytes[16];
    ssize_t n;
    while ((n = read(fds[0], bytes, sizeof(bytes))) > 0) got.append(bytes, n);
    if (n == 0) loop->Exit();
  });
  ASSERT_EQ(write(fds[1], "abc", 3), 3);
  loop->RunOnce(seconds(10));
  EXPECT_EQ(got, "abc");
  close(fds[1]);
  loop->Run();
  watch.reset();
  close(fds[0]);
}

TEST(EventLoop, ActivateRunsTheCallbackAndAWatchMayDestroyItself) {
  SystemClock clock;
  auto loop = NewEventLoop(clock);
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_NONBLOCK), 0);
  int calls = 0;
  std::unique_ptr<FdWatch> watch;
  watch = loop->WatchFd(fds[0], FdTrigger::kEdge, kFdReadable, [&](uint8_t events) {
    EXPECT_EQ(events, kFdReadable);
    ++calls;
    watch.reset();
  });
  watch->Activate(kFdReadable);
  watch->Activate(kFdReadable);
  loop->RunOnce(Duration::zero());
  loop->RunOnce(Duration::zero());
  EXPECT_EQ(calls, 1);
  close(fds[0]);
  close(fds[1]);
}

TEST(EventLoop, ATurnEndsThoughEventsKeepComing) {
  SystemClock clock;
  auto loop = NewEventLoop(clock);
  int fds[2];
  ASSERT_EQ(pipe2(fds, O_NONBLOCK), 0);
  int calls = 0;
  // Each event brings about the next one at once.
  auto watch = loop->WatchFd(fds[0], FdTrigger::kEdge, kFdReadable, [&](uint8_t) {
    ASSERT_LT(++calls, 1000);
    ASSERT_EQ(write(fds[1], "x", 1), 1);
  });
  ASSERT_EQ(write(fds[1], "x", 1), 1);
  loop->RunOnce(Duration::zero());
  EXPECT_EQ(calls, 1);
  watch.reset();
  close(fds[0]);
  close(fds[1]);
}

TEST(EventLoop, SignalsArriveOnTheLoop) {
  SystemClock clock;
  auto loop = NewEventLoop(clock);
  auto watch = loop->WatchSignal(SIGUSR1, [&] { loop->Exit(); });
  raise(SIGUSR1);
  loop->Run();
}

TEST(FakeLoop, TimersObeyTheFakeClock) {
  FakeClock clock;
  FakeLoop loop(clock);
  int fired = 0;
  auto timer = loop.NewTimer([&] { ++fired; });
  timer->Arm(seconds(3600));
  loop.Advance(seconds(3599));
  EXPECT_EQ(fired, 0);
  loop.Advance(seconds(1));
  EXPECT_EQ(fired, 1);
  EXPECT_FALSE(timer->armed());
}

TEST(FakeLoop, ArmingLaterMovesTheDeadlineAndEarlierToo) {
  FakeClock clock;
  FakeLoop loop(clock);
  int fired = 0;
  auto timer = loop.NewTimer([&] { ++fired; });
  timer->Arm(milliseconds(100));
  timer->Arm(milliseconds(300));
  loop.Advance(milliseconds(299));
  EXPECT_EQ(fired, 0);
  timer->Arm(milliseconds(5000));
  timer->Arm(milliseconds(10));
  loop.Advance(milliseconds(10));
  EXPECT_EQ(fired, 1);
}

TEST(FakeLoop, ATimerMayDestroyItself) {
  FakeClock clock;
  FakeLoop loop(clock);
  std::unique_ptr<Timer> timer;
  timer = loop.NewTimer([&] { timer.reset(); });
  timer->Arm(milliseconds(1));
  loop.Advance(milliseconds(2));
  EXPECT_EQ(timer, nullptr);
}

// Random arming against a plain record of deadlines: each fires exactly at its tick.
TEST(TimerWheel, EveryTimerFiresAtItsDeadline) {
  FakeClock clock;
  FakeLoop loop(clock);
  FastRandom random(42);
  struct One {
    std::unique_ptr<Timer> timer;
    MonotonicTime due = MonotonicTime::max();
    int fired = 0;
  };
  std::vector<One> all(200);
  for (One& one : all) {
    one.timer = loop.NewTimer([&one, &loop] {
      EXPECT_EQ(one.due, loop.Now());
      one.due = MonotonicTime::max();
      ++one.fired;
    });
  }
  for (int step = 0; step < 3000; ++step) {
    One& one = all[random.Below(all.size())];
    if (random.Below(5) == 0) {
      one.timer->Disarm();
      one.due = MonotonicTime::max();
    } else {
      const Duration after = milliseconds(1 + random.Below(uint64_t{1} << random.Below(22)));
      one.timer->Arm(after);
      one.due = loop.Now() + after;
    }
    loop.Advance(milliseconds(random.Below(500)));
    for (const One& each : all) ASSERT_GT(each.due, loop.Now());
  }
}

}  // namespace
}  // namespace meltemi
