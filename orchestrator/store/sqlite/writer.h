// The one thread that writes, with group commit: everything that queues while a transaction of
// SQLite is being made durable goes into the next one, so that one fsync serves many callers.
//
// Threads: Run from any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "orchestrator/store/sqlite/database.h"
#include "orchestrator/store/sqlite/event_log.h"
#include "orchestrator/store/sqlite/recent_commits.h"

namespace meltemi::store {

// What a piece of work sees and leaves while it runs.
struct WriteBatch {
  Connection& connection;
  EventLog log;
  Revision revision;   // the newest one, those of this batch included
  int64_t bytes_left;  // until the bound on the store's size
  bool wrote = false;  // set by whoever changes the database
  std::vector<CommitPtr> commits;
};

class Writer {
 public:
  // May run twice (see below): sets its results anew each time. An error before it has written
  // anything concerns itself alone.
  using Work = std::function<absl::Status(WriteBatch&)>;

  // `connection` is used by this writer's thread alone, or under `shared` when that is not null.
  Writer(Connection& connection, std::mutex* shared, RecentCommits& recent, int64_t bytes_max);
  ~Writer();

  // Blocks until the work is durable, or has failed. When a batch fails (the disk is full), each of
  // its pieces is tried alone: what needs no space, or less, still succeeds.
  absl::Status Run(Work work);

  // OK, or what has made writing impossible until the process is started again.
  absl::Status broken() const;

 private:
  struct Job {
    Work work;
    absl::Status status;
    bool done = false;
    std::condition_variable finished;
  };

  void Loop();
  void RunBatch(absl::Span<Job* const> jobs);
  // True: the batch is over, committed or failed as a whole. False: try the jobs one by one.
  bool TryBatch(absl::Span<Job* const> jobs);
  absl::Status Commit(WriteBatch& batch);
  void FailAll(absl::Span<Job* const> jobs, const absl::Status& why);

  Connection& connection_;
  std::mutex* const shared_;
  RecentCommits& recent_;
  const int64_t bytes_max_;

  mutable std::mutex mutex_;
  std::condition_variable queued_;
  std::vector<Job*> queue_ ABSL_GUARDED_BY(mutex_);
  absl::Status broken_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

// Pages in use, in bytes.
absl::StatusOr<int64_t> BytesInUse(Connection& connection);

}  // namespace meltemi::store
