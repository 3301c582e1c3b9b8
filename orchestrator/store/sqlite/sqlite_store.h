// The store (store.h) in one SQLite file. What was acknowledged survives `kill -9` and a power
// failure: write-ahead log, one fsync per group of transactions that came in together.
//
// Threads: as store.h; a thread of its own writes, one per watch delivers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock/clock.h"
#include "orchestrator/store/store.h"

namespace meltemi::store {

struct SqliteOptions {
  // The file; its folder exists. Beside it stand FILE-wal, FILE-shm and FILE.lock. "": in memory,
  // for tests: nothing survives and nothing is synced.
  std::string path;
  int64_t bytes_max = 8LL * 1024 * 1024 * 1024;
  // Of one transaction, as etcd's --max-request-bytes.
  size_t request_bytes_max = 1536 * 1024;
  size_t writes_per_transaction_max = 128;  // as etcd's --max-txn-ops
  // Recent events kept for watches, which read older ones from the file.
  size_t recent_events_bytes_max = 16 * 1024 * 1024;
  int readers = 4;
  // For another process that has the file open to go away: one that was killed a moment ago.
  Duration lock_wait = seconds(2);
  bool sync = true;  // false: a power failure may lose what was acknowledged (tests, benchmarks)
};

// Errors, each with what to do: the folder is missing or not writable, another process has the file
// open, the file is damaged or of a newer version. `clock` is for leases and outlives the store.
absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const SqliteOptions& options,
                                                       const Clock& clock);

}  // namespace meltemi::store
