// How many requests may be worked on at once, reads and writes apart, as kube-apiserver's
// --max-requests-inflight and --max-mutating-requests-inflight.
//
// Threads: thread-safe. The handler chain enters it once it knows who asks.
#pragma once

#include <atomic>
#include <cstddef>
#include <utility>

#include "kube/status/status.h"
#include "orchestrator/apiserver/http/request.h"

namespace meltemi::apiserver {

// Watches, proxies, logs and the like: they take long and are not counted.
bool IsLongRunning(const RequestInfo& info);

class InFlightLimiter {
 public:
  // A place among the requests in flight, given back when it is destroyed.
  class Ticket {
   public:
    Ticket(Ticket&& other) noexcept
        : admitted_(other.admitted_), counter_(std::exchange(other.counter_, nullptr)) {}
    Ticket& operator=(Ticket&&) = delete;
    ~Ticket() {
      if (counter_ != nullptr) counter_->fetch_sub(1, std::memory_order_relaxed);
    }
    bool admitted() const { return admitted_; }
    // 429 with Retry-After. Precondition: !admitted().
    kube::Status refusal() const;

   private:
    friend class InFlightLimiter;
    Ticket(bool admitted, std::atomic<size_t>* counter) : admitted_(admitted), counter_(counter) {}
    bool admitted_;
    std::atomic<size_t>* counter_;  // null: not counted
  };

  InFlightLimiter(size_t reads_max, size_t writes_max)
      : reads_max_(reads_max), writes_max_(writes_max) {}

  // Reads `info` and `user`. The cluster's own components get a quarter more, so that a flood from
  // others does not stop them; system:masters always get an answer. The limiter outlives the
  // ticket.
  Ticket Enter(const Request& request);

  size_t reads() const { return reads_.load(std::memory_order_relaxed); }
  size_t writes() const { return writes_.load(std::memory_order_relaxed); }

 private:
  const size_t reads_max_, writes_max_;
  std::atomic<size_t> reads_{0}, writes_{0};
};

}  // namespace meltemi::apiserver
