// A few connections for reading, lent to whichever thread wants to read.
//
// Threads: all methods from any thread.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "orchestrator/store/sqlite/database.h"
#include "orchestrator/store/sqlite/event_log.h"

namespace meltemi::store {

// What all reads of one call see.
struct Snapshot {
  EventLog log;
  Revision revision;
  Revision compacted;
};

class Readers {
 public:
  using Read = std::function<absl::Status(Snapshot&)>;

  explicit Readers(std::vector<std::unique_ptr<Connection>> connections);
  // The one connection there is, under `shared` (a database in memory).
  Readers(Connection& connection, std::mutex& shared);

  // Runs `read` on one state of the database: the newest that was committed.
  absl::Status Run(const Read& read);

 private:
  absl::Status RunOn(Connection& connection, const Read& read);

  Connection* const only_ = nullptr;
  std::mutex* const shared_ = nullptr;

  const std::vector<std::unique_ptr<Connection>> connections_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<Connection*> idle_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace meltemi::store
