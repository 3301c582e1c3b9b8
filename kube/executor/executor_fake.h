// An executor of one thread under a simulated clock: work runs when the test says so, in an order
// that a seed decides.
//
// Threads: one.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/clock/clock_fake.h"
#include "base/random/random.h"
#include "kube/executor/executor.h"

namespace meltemi::kube {

class ExecutorFake final : public Executor {
 public:
  // Without a seed work runs in the order in which it was given.
  ExecutorFake() = default;
  explicit ExecutorFake(uint64_t seed) : random_(std::make_unique<FastRandom>(seed)) {}

  const Clock& clock() const override { return clock_; }
  FakeClock& fake_clock() { return clock_; }
  void Run(Work work) override { ready_.push_back(std::move(work)); }
  std::unique_ptr<Delayed> After(Duration delay, Work work) override {
    auto state = std::make_shared<Work>(std::move(work));
    delayed_.emplace(clock_.Now() + delay, state);
    return std::make_unique<Handle>(std::move(state));
  }

  // One piece of work that is ready; false when there is none.
  bool RunOne() {
    if (ready_.empty()) return false;
    const size_t at = random_ == nullptr ? 0 : random_->Below(ready_.size());
    Work work = std::move(ready_[at]);
    ready_.erase(ready_.begin() + static_cast<std::ptrdiff_t>(at));
    work();
    return true;
  }
  // Until nothing is ready, at most `steps_max` pieces (a loop that feeds itself would not end);
  // true when nothing is left.
  bool RunReady(int steps_max = 100'000) {
    while (steps_max-- > 0) {
      if (!RunOne()) return true;
    }
    return false;
  }
  // Lets time pass in steps: to each moment at which something is due, running all that is ready in
  // between.
  void Advance(Duration by) {
    const MonotonicTime end = clock_.Now() + by;
    RunReady();
    while (AdvanceToNext(end)) RunReady();
    clock_.Advance(end - clock_.Now());
  }
  // To the next moment, not after `end`, at which something is due, which is ready then. False when
  // there is none.
  bool AdvanceToNext(MonotonicTime end) {
    DropCancelled();
    if (delayed_.empty() || delayed_.begin()->first > end) return false;
    if (delayed_.begin()->first > clock_.Now()) {
      clock_.Advance(delayed_.begin()->first - clock_.Now());
    }
    while (!delayed_.empty() && delayed_.begin()->first <= clock_.Now()) {
      std::shared_ptr<Work> work = delayed_.begin()->second;
      delayed_.erase(delayed_.begin());
      // Moved out before it runs: it may destroy its own handle.
      if (*work) {
        ready_.push_back([work] {
          const Work due = std::exchange(*work, nullptr);
          if (due) due();
        });
      }
    }
    return true;
  }
  size_t ready() const { return ready_.size(); }

 private:
  struct Handle final : Delayed {
    explicit Handle(std::shared_ptr<Work> w) : work(std::move(w)) {}
    ~Handle() override { *work = nullptr; }
    std::shared_ptr<Work> work;
  };
  void DropCancelled() {
    while (!delayed_.empty() && !*delayed_.begin()->second) delayed_.erase(delayed_.begin());
  }

  FakeClock clock_;
  std::unique_ptr<FastRandom> random_;
  std::vector<Work> ready_;
  std::multimap<MonotonicTime, std::shared_ptr<Work>> delayed_;
};

}  // namespace meltemi::kube
