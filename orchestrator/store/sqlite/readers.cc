#include "orchestrator/store/sqlite/readers.h"

namespace meltemi::store {

Readers::Readers(std::vector<std::unique_ptr<Connection>> connections)
    : connections_(std::move(connections)) {
  for (const auto& connection : connections_) idle_.push_back(connection.get());
}

Readers::Readers(Connection& connection, std::mutex& shared)
    : only_(&connection), shared_(&shared) {}

absl::Status Readers::Run(const Read& read) {
  if (only_ != nullptr) {
    const std::lock_guard<std::mutex> lock(*shared_);
    return RunOn(*only_, read);
  }
  Connection* connection = nullptr;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    returned_.wait(lock, [this] { return !idle_.empty(); });
    connection = idle_.back();
    idle_.pop_back();
  }
  const absl::Status status = RunOn(*connection, read);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(connection);
  }
  returned_.notify_one();
  return status;
}

absl::Status Readers::RunOn(Connection& connection, const Read& read) {
  absl::Status status = connection.Execute("BEGIN");
  if (!status.ok()) return status;
  EventLog log(connection);
  const auto revision = log.LastRevision();
  const auto compacted = log.Compacted();
  if (!revision.ok()) status = revision.status();
  if (!compacted.ok()) status = compacted.status();
  if (status.ok()) {
    Snapshot snapshot{.log = log, .revision = *revision, .compacted = *compacted};
    status = read(snapshot);
  }
  if (connection.in_transaction()) (void)connection.Execute("ROLLBACK");
  return status;
}

}  // namespace meltemi::store
