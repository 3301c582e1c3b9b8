#include "kube/queue/controller.h"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

#include "kube/executor/executor.h"
#include "kube/executor/executor_fake.h"

namespace meltemi::kube {
namespace {

const NamespacedName kA{"ns", "a"}, kB{"ns", "b"};

class ControllerTest : public testing::Test {
 protected:
  void Make(ControllerOptions options = {}) {
    options.name = "test";
    controller_ = NewController(options, executor_, &registry_, [this](const NamespacedName& key) {
      worked_.push_back(key.name);
      return on_work_ ? on_work_(key) : Finished();
    });
    controller_->Start();
  }
  std::vector<std::string> Worked() {
    executor_.RunReady();
    return std::exchange(worked_, {});
  }
  using Names = std::vector<std::string>;

  ExecutorFake executor_;
  metrics::Registry registry_;
  Controller::Reconcile on_work_;
  std::vector<std::string> worked_;
  std::unique_ptr<Controller> controller_;
};

TEST_F(ControllerTest, KeysThatWaitAreWorkedOnOnce) {
  Make();
  controller_->Add(kA);
  controller_->Add(kB);
  controller_->Add(kA);
  EXPECT_EQ(controller_->busy(), 2);
  EXPECT_EQ(Worked(), (Names{"a", "b"}));
  EXPECT_EQ(controller_->busy(), 0);
}

TEST_F(ControllerTest, NothingRunsBeforeStart) {
  controller_ = NewController({.name = "test"}, executor_, nullptr, [this](const auto& key) {
    worked_.push_back(key.name);
    return Finished();
  });
  controller_->Add(kA);
  EXPECT_EQ(Worked(), Names{});
  controller_->Start();
  EXPECT_EQ(Worked(), (Names{"a"}));
}

TEST_F(ControllerTest, AKeyThatIsAddedWhileWorkedOnComesOnceMore) {
  on_work_ = [this](const NamespacedName& key) {
    if (worked_.size() == 1) {
      controller_->Add(key);
      controller_->Add(key);
    }
    return Finished();
  };
  Make();
  controller_->Add(kA);
  EXPECT_EQ(Worked(), (Names{"a", "a"}));
}

TEST_F(ControllerTest, FailuresAreTriedAgainEverLater) {
  on_work_ = [](const NamespacedName&) { return ReconcileResult(InternalError("no")); };
  Make({.backoff_min = milliseconds(100), .backoff_max = milliseconds(350)});
  controller_->Add(kA);
  EXPECT_EQ(Worked(), (Names{"a"}));
  EXPECT_EQ(controller_->failures(kA), 1);
  EXPECT_EQ(controller_->busy(), 1);
  for (const int delay_ms : {100, 200, 350, 350}) {
    executor_.Advance(milliseconds(delay_ms - 1));
    EXPECT_EQ(Worked(), Names{});
    executor_.Advance(milliseconds(1));
    EXPECT_EQ(Worked(), (Names{"a"}));
  }
  EXPECT_EQ(registry_.Sum("controller_runtime_reconcile_errors_total", {{"controller", "test"}}),
            5);
  EXPECT_EQ(registry_.Sum("workqueue_retries_total", {{"name", "test"}}), 5);
  on_work_ = nullptr;
  executor_.Advance(milliseconds(350));
  EXPECT_EQ(controller_->failures(kA), 0);
  EXPECT_EQ(controller_->busy(), 0);
}

TEST_F(ControllerTest, RetriesOfAllKeysTogetherAreBounded) {
  on_work_ = [](const NamespacedName&) { return ReconcileResult(InternalError("no")); };
  Make({.backoff_max = milliseconds(5), .retries_per_second = 10, .retries_burst = 20});
  for (int i = 0; i < 50; ++i) controller_->Add({"ns", std::to_string(i)});
  executor_.Advance(seconds(10));
  // Fifty first tries, twenty at once, ten a second.
  EXPECT_NEAR(static_cast<double>(worked_.size()), 50 + 20 + 100, 2);
}

TEST_F(ControllerTest, TheEarlierOfSeveralTimesCounts) {
  Make();
  controller_->AddAfter(kA, seconds(10));
  controller_->AddAfter(kA, seconds(5));
  controller_->AddAfter(kA, seconds(20));
  EXPECT_EQ(controller_->busy(), 0);
  executor_.Advance(seconds(4));
  EXPECT_EQ(Worked(), Names{});
  executor_.Advance(seconds(1));
  EXPECT_EQ(Worked(), (Names{"a"}));
  executor_.Advance(seconds(60));
  EXPECT_EQ(Worked(), Names{});
}

TEST_F(ControllerTest, AgainComesAgain) {
  on_work_ = [](const NamespacedName&) { return Again(seconds(30)); };
  Make();
  controller_->Add(kA);
  executor_.Advance(seconds(65));
  EXPECT_EQ(Worked(), (Names{"a", "a", "a"}));
}

TEST_F(ControllerTest, NothingRunsAfterItsEnd) {
  on_work_ = [](const NamespacedName&) { return Again(seconds(1)); };
  Make();
  controller_->Add(kA);
  EXPECT_EQ(Worked(), (Names{"a"}));
  controller_->Add(kB);
  controller_.reset();
  executor_.Advance(seconds(10));
  EXPECT_EQ(Worked(), Names{});
}

TEST(ControllerThreadsTest, OneKeyIsWorkedOnByOneAtATime) {
  const SystemClock clock;
  const std::unique_ptr<Executor> executor = NewThreadExecutor(clock);
  metrics::Registry registry;
  std::atomic<int> at_work[3] = {};
  std::atomic<int> done = 0, most = 0, all = 0;
  std::unique_ptr<Controller> controller = NewController(
      {.name = "t", .workers = 3}, *executor, &registry, [&](const NamespacedName& key) {
        std::atomic<int>& here = at_work[key.name[0] - '0'];
        EXPECT_EQ(++here, 1);
        const int now = ++all;
        if (now > most) most = now;
        --all;
        --here;
        ++done;
        return done % 3 == 0 ? ReconcileResult(InternalError("no")) : Finished();
      });
  controller->Start();
  for (int i = 0; i < 3000; ++i) controller->Add({"", std::to_string(i % 3)});
  while (controller->busy() > 0 && done < 30) {
  }
  controller.reset();
  const int at_end = done;
  EXPECT_GE(at_end, 3);
  EXPECT_LE(most, 3);
}

}  // namespace
}  // namespace meltemi::kube
