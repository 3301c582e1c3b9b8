#include "orchestrator/apiserver/http/handler_pool.h"

#include <utility>

namespace meltemi::apiserver {

HandlerPool::~HandlerPool() {
  std::vector<std::thread> threads;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
    threads = std::move(slots_);
  }
  changed_.notify_all();
  for (std::thread& thread : threads) {
    if (thread.joinable()) thread.join();
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
  if (running_ >= threads_max_) return false;
  queue_.push_back(std::move(work));
  ++running_;
  if (ended_.empty()) {
    const size_t slot = slots_.size();
    slots_.emplace_back([this, slot] { ThreadMain(slot); });
    return true;
  }
  const size_t slot = ended_.back();
  ended_.pop_back();
  slots_[slot].join();  // it has nothing left to do but to return
  slots_[slot] = std::thread([this, slot] { ThreadMain(slot); });
  return true;
}

size_t HandlerPool::threads() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return running_;
}

void HandlerPool::ThreadMain(size_t slot) {
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
