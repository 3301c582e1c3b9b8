#include "orchestrator/store/sqlite/writer.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"

namespace meltemi::store {
namespace {

// Bounds the time between two commits, and so the latency of whoever comes first in a batch.
constexpr size_t kJobsPerBatchMax = 1000;

}  // namespace

absl::StatusOr<int64_t> BytesInUse(Connection& connection) {
  const auto pages = connection.Number("PRAGMA page_count");
  if (!pages.ok()) return pages.status();
  const auto free_pages = connection.Number("PRAGMA freelist_count");
  if (!free_pages.ok()) return free_pages.status();
  const auto page_bytes = connection.Number("PRAGMA page_size");
  if (!page_bytes.ok()) return page_bytes.status();
  return (*pages - *free_pages) * *page_bytes;
}

Writer::Writer(Connection& connection, std::mutex* shared, RecentCommits& recent, int64_t bytes_max)
    : connection_(connection), shared_(shared), recent_(recent), bytes_max_(bytes_max) {
  thread_ = std::thread([this] { Loop(); });
}

Writer::~Writer() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  queued_.notify_all();
  thread_.join();
}

absl::Status Writer::Run(Work work) {
  Job job;
  job.work = std::move(work);
  std::unique_lock<std::mutex> lock(mutex_);
  if (!broken_.ok()) return broken_;
  queue_.push_back(&job);
  if (queue_.size() == 1) queued_.notify_one();
  job.finished.wait(lock, [&job] { return job.done; });
  return job.status;
}

absl::Status Writer::broken() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return broken_;
}

void Writer::Loop() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (true) {
    queued_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    std::vector<Job*> jobs;
    if (queue_.size() <= kJobsPerBatchMax) {
      jobs.swap(queue_);
    } else {
      jobs.assign(queue_.begin(), queue_.begin() + kJobsPerBatchMax);
      queue_.erase(queue_.begin(), queue_.begin() + kJobsPerBatchMax);
    }
    lock.unlock();
    RunBatch(jobs);
    lock.lock();
    for (Job* job : jobs) {
      job->done = true;
      job->finished.notify_one();  // under the lock: the job is gone once its caller has it
    }
  }
}

void Writer::RunBatch(absl::Span<Job* const> jobs) {
  std::unique_lock<std::mutex> shared;
  if (shared_ != nullptr) shared = std::unique_lock<std::mutex>(*shared_);
  if (TryBatch(jobs)) return;
  for (size_t i = 0; i < jobs.size(); ++i) TryBatch(jobs.subspan(i, 1));
}

bool Writer::TryBatch(absl::Span<Job* const> jobs) {
  absl::Status status = broken();
  if (status.ok()) status = connection_.Execute("BEGIN IMMEDIATE");
  const auto used = status.ok() ? BytesInUse(connection_) : status;
  if (!used.ok()) {
    if (connection_.in_transaction()) (void)connection_.Execute("ROLLBACK");
    FailAll(jobs, used.status());
    return true;
  }
  WriteBatch batch{.connection = connection_,
                   .log = EventLog(connection_),
                   .revision = recent_.current(),
                   .bytes_left = bytes_max_ - *used};
  for (Job* job : jobs) {
    const bool wrote_before = std::exchange(batch.wrote, false);
    job->status = job->work(batch);
    const bool failed_halfway = !job->status.ok() && (batch.wrote || !connection_.in_transaction());
    batch.wrote |= wrote_before;
    if (!failed_halfway) continue;
    if (connection_.in_transaction()) (void)connection_.Execute("ROLLBACK");
    return jobs.size() == 1;
  }
  status = Commit(batch);
  if (status.ok()) {
    recent_.Publish(std::move(batch.commits));
    return true;
  }
  if (absl::IsResourceExhausted(status) && jobs.size() > 1) return false;
  FailAll(jobs, status);
  return true;
}

absl::Status Writer::Commit(WriteBatch& batch) {
  if (!batch.wrote) return connection_.Execute("ROLLBACK");
  absl::Status status = connection_.Execute("COMMIT");
  if (status.ok()) return status;
  if (connection_.in_transaction()) (void)connection_.Execute("ROLLBACK");
  if (absl::IsResourceExhausted(status)) return status;
  // A write or an fsync has failed: what is on the disk is not known, and trying again would not
  // tell (the kernel drops the pages of a failed fsync).
  status = absl::UnavailableError(
      absl::StrCat(status.message(),
                   "; whether the last writes are on the disk is not known: look "
                   "after the disk, then start the server again"));
  LOG(kError, "store", status.message());
  const std::lock_guard<std::mutex> lock(mutex_);
  broken_ = status;
  return status;
}

void Writer::FailAll(absl::Span<Job* const> jobs, const absl::Status& why) {
  for (Job* job : jobs) {
    if (job->status.ok()) job->status = why;
  }
}

}  // namespace meltemi::store
