// Which leases there are and when they end. What survives a restart is that they exist: their time
// begins anew, as in etcd.
//
// Threads: all methods from any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/clock/clock.h"

namespace meltemi::store {

class Leases {
 public:
  // `expire` is called on a thread of this object; it makes the lease end (by Remove) or fails and
  // is called again a second later.
  Leases(const Clock& clock, std::function<absl::Status(int64_t lease)> expire);
  ~Leases();

  void Add(int64_t lease, Duration ttl);
  void Remove(int64_t lease);
  bool Has(int64_t lease) const;
  // Error: NotFound.
  absl::Status KeepAlive(int64_t lease);

 private:
  struct Lease {
    Duration ttl;
    MonotonicTime end;
  };
  void Loop();

  const Clock& clock_;
  const std::function<absl::Status(int64_t lease)> expire_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int64_t, Lease> leases_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace meltemi::store
