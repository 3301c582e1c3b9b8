// Where work of controllers runs and how time passes for them, as a seam: threads and the real
// clock in programs, one thread and a seed in simulations (executor_fake.h). Nothing above it knows
// threads: no sleeps, no condition variables.
//
// Threads: thread-safe.
#pragma once

#include <functional>
#include <memory>

#include "base/clock/clock.h"

namespace meltemi::kube {

// A piece of work that was put off. Destroying cancels it; it may be under way on another thread
// then: use a flag under your own lock where that matters.
class Delayed {
 public:
  virtual ~Delayed() = default;
};

class Executor {
 public:
  using Work = std::function<void()>;

  virtual ~Executor() = default;

  virtual const Clock& clock() const = 0;
  // Runs `work` soon, on one of the executor's threads, where it may block on API calls. In no
  // particular order.
  virtual void Run(Work work) = 0;
  // The same after a while.
  virtual std::unique_ptr<Delayed> After(Duration delay, Work work) = 0;
};

struct ThreadExecutorOptions {
  size_t threads_max = 64;  // made as they are needed
  Duration idle_timeout = seconds(30);
};

// Destroying waits for what is under way and drops the rest. `clock` outlives it.
std::unique_ptr<Executor> NewThreadExecutor(const Clock& clock,
                                            const ThreadExecutorOptions& options = {});

}  // namespace meltemi::kube
