#include "orchestrator/apiserver/http/handler_pool.h"

#include <utility>

namespace meltemi::apiserver {

HandlerPool::~HandlerPool() {
  std::vector<std::unique_ptr<Slot>> slots;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    slots = std::move(slots_);
  }
  changed_.notify_all();
  for (const std::unique_ptr<Slot>& slot : slots) {
    if (slot->started) pthread_join(slot->thread, nullptr);
  }
}

bool HandlerPool::Run(Work work) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (stopping_) return false;
  if (idle_ > queue_.size()) {
    queue_.push_back(std::move(work));
    changed_.notify_one();
    return true;
  }
  if (running_ >= threads_max_ || !StartThread()) return false;
  queue_.push_back(std::move(work));
  return true;
}

// std::thread would throw where the system refuses a thread.
bool HandlerPool::StartThread() {
  if (ended_.empty()) {
    slots_.push_back(std::make_unique<Slot>(Slot{.pool = this, .index = slots_.size()}));
    ended_.push_back(slots_.size() - 1);
  }
  Slot& slot = *slots_[ended_.back()];
  // The thread that was here has nothing left to do but to return.
  if (std::exchange(slot.started, false)) pthread_join(slot.thread, nullptr);
  const auto main = [](void* argument) -> void* {
    const Slot& own = *static_cast<Slot*>(argument);
    own.pool->RunWork(own.index);
    return nullptr;
  };
  if (pthread_create(&slot.thread, nullptr, main, &slot) != 0) return false;
  slot.started = true;
  ended_.pop_back();
  ++running_;
  return true;
}

size_t HandlerPool::threads() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return running_;
}

void HandlerPool::RunWork(size_t slot) {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    ++idle_;
    const bool woken =
        changed_.wait_for(lock, idle_max_, [this] { return !queue_.empty() || stopping_; });
    --idle_;
    if (queue_.empty() && (stopping_ || !woken)) break;
    Work work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    work();
    work = nullptr;
    lock.lock();
  }
  --running_;
  if (!stopping_) ended_.push_back(slot);
}

}  // namespace meltemi::apiserver
