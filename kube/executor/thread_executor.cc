#include <condition_variable>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

#include "kube/executor/executor.h"

namespace meltemi::kube {
namespace {

// What threads and handles share: a handle may outlive the executor.
class Core {
 public:
  using Work = Executor::Work;
  using Moment = std::pair<MonotonicTime, uint64_t>;  // with a number of its own

  Core(const Clock& clock, const ThreadExecutorOptions& options)
      : clock_(clock), options_(options), timer_([this] { RunTimer(); }) {}

  const Clock& clock() const { return clock_; }

  void Run(Work work) {
    const std::lock_guard<std::mutex> lock(mutex_);
    Enqueue(std::move(work));
  }

  Moment After(Duration delay, Work work) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const Moment moment(clock_.Now() + delay, ++last_id_);
    if (stopping_) return moment;
    const auto at = later_.emplace(moment, std::move(work)).first;
    if (at == later_.begin()) timer_wake_.notify_one();
    return moment;
  }

  void Cancel(const Moment& moment) {
    Work dropped;  // destroyed without the lock: it may hold handles
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto at = later_.find(moment);
    if (at == later_.end()) return;
    dropped.swap(at->second);
    later_.erase(at);
  }

  void Stop() {
    std::deque<Work> dropped;
    std::map<Moment, Work> dropped_later;
    std::unique_lock<std::mutex> lock(mutex_);
    stopping_ = true;
    dropped.swap(ready_);
    dropped_later.swap(later_);
    work_wake_.notify_all();
    timer_wake_.notify_one();
    ended_.wait(lock, [this] { return threads_.empty(); });
    JoinFinished();
    lock.unlock();
    timer_.join();
  }

 private:
  // With the lock held.
  void Enqueue(Work work) {
    if (stopping_) return;
    ready_.push_back(std::move(work));
    if (ready_.size() <= idle_) {
      work_wake_.notify_one();
    } else if (threads_.size() < options_.threads_max) {
      JoinFinished();
      const auto self = threads_.emplace(threads_.end());
      *self = std::thread([this, self] { RunWorker(self); });
    }
  }

  // With the lock held, which finished threads do not take any more.
  void JoinFinished() {
    for (std::thread& thread : finished_) thread.join();
    finished_.clear();
  }

  void RunWorker(std::list<std::thread>::iterator self) {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!stopping_) {
      if (ready_.empty()) {
        ++idle_;
        work_wake_.wait_for(lock, options_.idle_timeout,
                            [this] { return stopping_ || !ready_.empty(); });
        --idle_;
        if (ready_.empty()) break;
      }
      Work work = std::move(ready_.front());
      ready_.pop_front();
      lock.unlock();
      work();
      work = nullptr;
      lock.lock();
    }
    finished_.splice(finished_.end(), threads_, self);
    ended_.notify_all();
  }

  void RunTimer() {
    std::unique_lock<std::mutex> lock(mutex_);
    while (!stopping_) {
      if (later_.empty()) {
        timer_wake_.wait(lock);
        continue;
      }
      const auto first = later_.begin();
      const Duration left = first->first.first - clock_.Now();
      if (left > Duration::zero()) {
        timer_wake_.wait_for(lock, left);
        continue;
      }
      Work work = std::move(first->second);
      later_.erase(first);
      Enqueue(std::move(work));
    }
  }

  const Clock& clock_;
  const ThreadExecutorOptions options_;

  std::mutex mutex_;
  std::condition_variable work_wake_, timer_wake_, ended_;
  // Guarded by mutex_.
  std::deque<Work> ready_;
  std::map<Moment, Work> later_;
  uint64_t last_id_ = 0;
  std::list<std::thread> threads_, finished_;
  size_t idle_ = 0;
  bool stopping_ = false;

  std::thread timer_;  // last: it uses all of the above
};

class ThreadExecutor final : public Executor {
 public:
  ThreadExecutor(const Clock& clock, const ThreadExecutorOptions& options)
      : core_(std::make_shared<Core>(clock, options)) {}
  ~ThreadExecutor() override { core_->Stop(); }

  const Clock& clock() const override { return core_->clock(); }
  void Run(Work work) override { core_->Run(std::move(work)); }
  std::unique_ptr<Delayed> After(Duration delay, Work work) override {
    return std::make_unique<Handle>(core_, core_->After(delay, std::move(work)));
  }

 private:
  class Handle final : public Delayed {
   public:
    Handle(const std::shared_ptr<Core>& core, const Core::Moment& moment)
        : core_(core), moment_(moment) {}
    ~Handle() override {
      if (const auto core = core_.lock()) core->Cancel(moment_);
    }

   private:
    const std::weak_ptr<Core> core_;
    const Core::Moment moment_;
  };

  const std::shared_ptr<Core> core_;
};

}  // namespace

std::unique_ptr<Executor> NewThreadExecutor(const Clock& clock,
                                            const ThreadExecutorOptions& options) {
  return std::make_unique<ThreadExecutor>(clock, options);
}

}  // namespace meltemi::kube
