#include "orchestrator/store/sqlite/leases.h"

#include <algorithm>
#include <utility>

#include "base/log/log.h"
#include "orchestrator/store/errors.h"

namespace meltemi::store {
namespace {

constexpr Duration kRetry = seconds(1);

}  // namespace

Leases::Leases(const Clock& clock, std::function<absl::Status(int64_t lease)> expire)
    : clock_(clock), expire_(std::move(expire)) {
  thread_ = std::thread([this] { Loop(); });
}

Leases::~Leases() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Leases::Add(int64_t lease, Duration ttl) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    leases_[lease] = {.ttl = ttl, .end = clock_.Now() + ttl};
  }
  changed_.notify_all();
}

void Leases::Remove(int64_t lease) {
  const std::lock_guard<std::mutex> lock(mutex_);
  leases_.erase(lease);
}

bool Leases::Has(int64_t lease) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return leases_.contains(lease);
}

absl::Status Leases::KeepAlive(int64_t lease) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return NoSuchLease();
  found->second.end = clock_.Now() + found->second.ttl;
  return absl::OkStatus();
}

void Leases::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (!stopping_) {
    if (leases_.empty()) {
      changed_.wait(lock);
      continue;
    }
    const auto next =
        std::min_element(leases_.begin(), leases_.end(),
                         [](const auto& a, const auto& b) { return a.second.end < b.second.end; });
    const Duration left = next->second.end - clock_.Now();
    if (left > Duration::zero()) {
      changed_.wait_for(lock, left);
      continue;
    }
    const int64_t lease = next->first;
    lock.unlock();
    const absl::Status status = expire_(lease);
    lock.lock();
    if (status.ok()) continue;
    LOG(kWarn, "store", "a lease that has ended cannot be removed: ", status.message());
    const auto kept = leases_.find(lease);
    if (kept != leases_.end()) kept->second.end = clock_.Now() + kRetry;
  }
}

}  // namespace meltemi::store
