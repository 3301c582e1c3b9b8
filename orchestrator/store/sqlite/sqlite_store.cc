#include "orchestrator/store/sqlite/sqlite_store.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log/log.h"
#include "base/random/random.h"
#include "orchestrator/store/errors.h"
#include "orchestrator/store/sqlite/event_log.h"
#include "orchestrator/store/sqlite/file_lock.h"
#include "orchestrator/store/sqlite/leases.h"
#include "orchestrator/store/sqlite/open.h"
#include "orchestrator/store/sqlite/readers.h"
#include "orchestrator/store/sqlite/recent_commits.h"
#include "orchestrator/store/sqlite/watch.h"
#include "orchestrator/store/sqlite/writer.h"

namespace meltemi::store {
namespace {

constexpr size_t kRowsPerRemovalMax = 500;
// Free pages are kept for what is written next, up to a quarter of the file.
constexpr int64_t kFreePagesKept = 1000;
// A row, its place in the indexes and page slack, beside key and value.
constexpr int64_t kBytesPerRow = 100;

class SqliteStore final : public Store {
 public:
  SqliteStore(const SqliteOptions& options, const Clock& clock, std::unique_ptr<FileLock> lock,
              std::unique_ptr<Connection> writing, std::vector<std::unique_ptr<Connection>> reading,
              Revision revision)
      : options_(options),
        lock_(std::move(lock)),
        writing_(std::move(writing)),
        readers_(reading.empty() ? std::make_unique<Readers>(*writing_, shared_)
                                 : std::make_unique<Readers>(std::move(reading))),
        recent_(revision, options.recent_events_bytes_max),
        writer_(*writing_, options.path.empty() ? &shared_ : nullptr, recent_, options.bytes_max),
        leases_(clock, [this](int64_t lease) {
          const absl::Status status = RevokeLease(lease);
          return absl::IsNotFound(status) ? absl::OkStatus() : status;
        }) {}

  ~SqliteStore() override {
    stopping_ = true;
    if (!check_.joinable()) return;
    checking_->Interrupt();
    check_.join();
  }

  // Leases that were there before, and a removal that a crash has interrupted.
  absl::Status Resume();
  // Reads the whole file in the background; what is found is told by Health().
  absl::Status CheckInBackground();

  absl::StatusOr<std::optional<KeyValue>> Get(absl::string_view key, Revision revision) override;
  absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view end,
                                    const RangeOptions& options) override;
  absl::StatusOr<TxnResult> Transact(const std::vector<Compare>& conditions,
                                     const std::vector<Write>& writes) override;
  std::unique_ptr<WatchHandle> Watch(absl::string_view first, absl::string_view end, Revision from,
                                     Watcher& watcher) override {
    if (from == 0) from = recent_.current() + 1;
    return std::make_unique<SqliteWatch>(*readers_, recent_, first, end, from, watcher);
  }
  absl::StatusOr<Revision> CurrentRevision() override { return recent_.current(); }
  absl::Status Compact(Revision revision) override;
  absl::StatusOr<int64_t> GrantLease(Duration ttl) override;
  absl::Status KeepLeaseAlive(int64_t lease) override { return leases_.KeepAlive(lease); }
  absl::Status RevokeLease(int64_t lease) override;
  absl::StatusOr<StoreSize> Size() override;
  absl::Status Health() override;

 private:
  absl::Status CheckRequest(const std::vector<Write>& writes) const;
  absl::Status RunTransaction(const std::vector<Compare>& conditions,
                              const std::vector<Write>& writes, WriteBatch& batch,
                              TxnResult* result);
  absl::Status Apply(const std::vector<Write>& writes, WriteBatch& batch);
  absl::Status RemoveInvisible(Revision compacted);
  absl::Status GiveBackPages();

  const SqliteOptions options_;
  // Destroyed from the last to the first: threads before what they use.
  const std::unique_ptr<FileLock> lock_;
  const std::unique_ptr<Connection> writing_;
  std::mutex shared_;  // of the one connection to a database in memory
  const std::unique_ptr<Readers> readers_;
  RecentCommits recent_;
  Writer writer_;
  std::mutex compaction_mutex_;  // held while rows are removed
  Leases leases_;

  std::atomic<bool> stopping_{false};
  std::unique_ptr<Connection> checking_;
  std::thread check_;
  std::mutex health_mutex_;
  absl::Status damage_ ABSL_GUARDED_BY(health_mutex_);
};

absl::Status CheckRevision(Revision wanted, const Snapshot& snapshot) {
  if (wanted == 0) return absl::OkStatus();
  if (wanted < snapshot.compacted) return Compacted();
  if (wanted > snapshot.revision) return FutureRevision();
  return absl::OkStatus();
}

absl::StatusOr<std::optional<KeyValue>> SqliteStore::Get(absl::string_view key, Revision revision) {
  std::optional<KeyValue> found;
  const absl::Status status = readers_->Run([&](Snapshot& snapshot) {
    const absl::Status revision_status = CheckRevision(revision, snapshot);
    if (!revision_status.ok()) return revision_status;
    auto latest = snapshot.log.Latest(key, RowsEnd(revision == 0 ? snapshot.revision : revision));
    if (!latest.ok()) return latest.status();
    found = *std::move(latest);
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return found;
}

absl::StatusOr<RangeResult> SqliteStore::Range(absl::string_view first, absl::string_view end,
                                               const RangeOptions& options) {
  RangeResult result;
  const absl::Status status = readers_->Run([&](Snapshot& snapshot) {
    const absl::Status revision_status = CheckRevision(options.revision, snapshot);
    if (!revision_status.ok()) return revision_status;
    const Revision at = options.revision == 0 ? snapshot.revision : options.revision;
    auto range = snapshot.log.Range(first, end, RowsEnd(at), options);
    if (!range.ok()) return range.status();
    result = *std::move(range);
    result.revision = snapshot.revision;
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return result;
}

absl::Status SqliteStore::CheckRequest(const std::vector<Write>& writes) const {
  if (writes.size() > options_.writes_per_transaction_max) return TooManyOperations();
  size_t bytes = 0;
  std::set<absl::string_view> keys;
  for (const Write& write : writes) {
    if (write.key.empty()) return EmptyKey();
    bytes += write.key.size() + write.value.size();
    if (!keys.insert(write.key).second) return DuplicateKey();
  }
  return bytes > options_.request_bytes_max ? RequestTooLarge() : absl::OkStatus();
}

absl::StatusOr<TxnResult> SqliteStore::Transact(const std::vector<Compare>& conditions,
                                                const std::vector<Write>& writes) {
  absl::Status status = CheckRequest(writes);
  if (!status.ok()) return status;
  TxnResult result;
  status = writer_.Run([&](WriteBatch& batch) {
    result = TxnResult();
    return RunTransaction(conditions, writes, batch, &result);
  });
  if (!status.ok()) return status;
  return result;
}

absl::Status SqliteStore::RunTransaction(const std::vector<Compare>& conditions,
                                         const std::vector<Write>& writes, WriteBatch& batch,
                                         TxnResult* result) {
  result->succeeded = true;
  for (const Compare& condition : conditions) {
    auto current = batch.log.Latest(condition.key, RowsEnd(batch.revision));
    if (!current.ok()) return current.status();
    const Revision holds = current->has_value() ? (*current)->mod_revision : 0;
    if (holds != condition.mod_revision) result->succeeded = false;
    result->current.push_back(*std::move(current));
  }
  if (!result->succeeded) {
    result->revision = batch.revision;
    return absl::OkStatus();
  }
  result->current.clear();
  const absl::Status status = Apply(writes, batch);
  result->revision = batch.revision;
  return status;
}

absl::Status SqliteStore::Apply(const std::vector<Write>& writes, WriteBatch& batch) {
  int64_t bytes = 0;
  for (const Write& write : writes) {
    if (write.lease != 0 && !leases_.Has(write.lease)) return NoSuchLease();
    if (write.type == Write::Type::kPut) {
      bytes += kBytesPerRow + static_cast<int64_t>(write.key.size() + write.value.size());
    }
  }
  if (bytes > batch.bytes_left) return SpaceExceeded(options_.bytes_max);
  auto commit = std::make_shared<Commit>();
  commit->revision = batch.revision + 1;
  for (const Write& write : writes) {
    const bool deleted = write.type == Write::Type::kDelete;
    auto previous = batch.log.Latest(write.key, RowsEnd(batch.revision));
    if (!previous.ok()) return previous.status();
    if (deleted && !previous->has_value()) continue;
    Event event{.deleted = deleted, .kv = {.key = write.key}, .previous = *std::move(previous)};
    event.kv.mod_revision = commit->revision;
    if (!deleted) {
      event.kv.value = write.value;
      event.kv.lease = write.lease;
      event.kv.create_revision =
          event.previous.has_value() ? event.previous->create_revision : commit->revision;
      event.kv.version = event.previous.has_value() ? event.previous->version + 1 : 1;
    }
    batch.wrote = true;
    const auto place = static_cast<int64_t>(commit->events.size());
    const absl::Status status = batch.log.Append(event.kv, place, deleted);
    if (!status.ok()) return status;
    commit->events.push_back(std::move(event));
  }
  if (commit->events.empty()) return absl::OkStatus();
  batch.revision = commit->revision;
  batch.bytes_left -= bytes;
  batch.commits.push_back(std::move(commit));
  return absl::OkStatus();
}

absl::Status SqliteStore::Compact(Revision revision) {
  const absl::Status status = writer_.Run([revision](WriteBatch& batch) {
    const auto compacted = batch.log.Compacted();
    if (!compacted.ok()) return compacted.status();
    if (revision <= *compacted) return Compacted();
    if (revision > batch.revision) return FutureRevision();
    batch.wrote = true;
    return batch.log.SetCompacted(revision);
  });
  return status.ok() ? RemoveInvisible(revision) : status;
}

absl::Status SqliteStore::RemoveInvisible(Revision compacted) {
  const std::lock_guard<std::mutex> lock(compaction_mutex_);
  std::optional<int64_t> from = -1;
  while (from.has_value() && !stopping_) {
    const absl::Status status = writer_.Run([&from, compacted](WriteBatch& batch) {
      const auto removed = batch.log.Removed();
      if (!removed.ok()) return removed.status();
      // A deletion at the revision of the last compaction is looked at again.
      const int64_t begin = *from == -1 ? RowNumber(*removed, 0, false) : *from;
      batch.wrote = true;
      auto next = batch.log.RemoveInvisible(begin, compacted, kRowsPerRemovalMax);
      if (!next.ok()) return next.status();
      from = *next;
      return from.has_value() ? absl::OkStatus() : batch.log.SetRemoved(compacted);
    });
    if (!status.ok()) return status;
  }
  return GiveBackPages();
}

absl::Status SqliteStore::GiveBackPages() {
  for (bool more = true; more && !stopping_;) {
    const absl::Status status = writer_.Run([&more](WriteBatch& batch) {
      const auto pages = batch.connection.Number("PRAGMA page_count");
      const auto free_pages = batch.connection.Number("PRAGMA freelist_count");
      if (!pages.ok()) return pages.status();
      if (!free_pages.ok()) return free_pages.status();
      more = *free_pages > kFreePagesKept && *free_pages > *pages / 4;
      if (!more) return absl::OkStatus();
      batch.wrote = true;
      return batch.connection.Execute("PRAGMA incremental_vacuum(500)");
    });
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::StatusOr<int64_t> SqliteStore::GrantLease(Duration ttl) {
  const auto lease = static_cast<int64_t>(FastRandom().Next() >> 1) | 1;
  const absl::Status status = writer_.Run([lease, ttl](WriteBatch& batch) {
    batch.wrote = true;
    return Query(batch.connection, "INSERT INTO leases (id, ttl_ms) VALUES (?1, ?2)")
        .Int(1, lease)
        .Int(2, ToMillis(ttl))
        .Run();
  });
  if (!status.ok()) return status;
  leases_.Add(lease, ttl);
  return lease;
}

absl::Status SqliteStore::RevokeLease(int64_t lease) {
  if (!leases_.Has(lease)) return NoSuchLease();
  // No new key can be put under it while its keys are being deleted: both are the writer's work.
  const absl::Status status = writer_.Run([this, lease](WriteBatch& batch) {
    const auto keys = batch.log.KeysOfLease(lease);
    if (!keys.ok()) return keys.status();
    std::vector<Write> writes;
    for (const std::string& key : *keys) {
      writes.push_back({.type = Write::Type::kDelete, .key = key});
      // Each revision has room for so many writes.
      if (writes.size() < (size_t{1} << kWritesPerRevisionBits)) continue;
      const absl::Status applied = Apply(std::exchange(writes, {}), batch);
      if (!applied.ok()) return applied;
    }
    const absl::Status applied = Apply(writes, batch);
    if (!applied.ok()) return applied;
    batch.wrote = true;
    return Query(batch.connection, "DELETE FROM leases WHERE id = ?1").Int(1, lease).Run();
  });
  if (status.ok()) leases_.Remove(lease);
  return status;
}

absl::StatusOr<StoreSize> SqliteStore::Size() {
  StoreSize size{.bytes_max = options_.bytes_max};
  const absl::Status status = writer_.Run([&size](WriteBatch& batch) {
    auto used = BytesInUse(batch.connection);
    if (!used.ok()) return used.status();
    size.bytes_in_use = *used;
    return absl::OkStatus();
  });
  if (!status.ok()) return status;
  return size;
}

absl::Status SqliteStore::Health() {
  const absl::Status broken = writer_.broken();
  if (!broken.ok()) return broken;
  const std::lock_guard<std::mutex> lock(health_mutex_);
  return damage_;
}

absl::Status SqliteStore::Resume() {
  Revision compacted = 0, removed = 0;
  std::vector<std::pair<int64_t, int64_t>> leases;
  const absl::Status status = writer_.Run([&](WriteBatch& batch) {
    const auto compacted_row = batch.log.Compacted();
    const auto removed_row = batch.log.Removed();
    if (!compacted_row.ok()) return compacted_row.status();
    if (!removed_row.ok()) return removed_row.status();
    compacted = *compacted_row;
    removed = *removed_row;
    leases.clear();
    Query query(batch.connection, "SELECT id, ttl_ms FROM leases");
    while (query.Step()) leases.emplace_back(query.IntAt(0), query.IntAt(1));
    return query.status();
  });
  if (!status.ok()) return status;
  for (const auto& [lease, ttl_ms] : leases) leases_.Add(lease, milliseconds(ttl_ms));
  return removed < compacted ? RemoveInvisible(compacted) : absl::OkStatus();
}

absl::Status SqliteStore::CheckInBackground() {
  auto connection = OpenForReading(options_);
  if (!connection.ok()) return connection.status();
  checking_ = *std::move(connection);
  check_ = std::thread([this] {
    const absl::Status status = CheckFile(*checking_, options_.path);
    if (status.ok() || stopping_) return;
    LOG(kError, "store", status.message());
    const std::lock_guard<std::mutex> lock(health_mutex_);
    damage_ = status;
  });
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenSqliteStore(const SqliteOptions& options,
                                                       const Clock& clock) {
  const bool in_memory = options.path.empty();
  std::unique_ptr<FileLock> lock;
  if (!in_memory) {
    auto taken = FileLock::Take(options.path + ".lock", options.lock_wait);
    if (!taken.ok()) return taken.status();
    lock = *std::move(taken);
  }
  bool checked = false;
  auto writing = OpenForWriting(options, &checked);
  if (!writing.ok()) return writing.status();
  std::vector<std::unique_ptr<Connection>> reading;
  for (int i = 0; !in_memory && i < std::max(options.readers, 1); ++i) {
    auto reader = OpenForReading(options);
    if (!reader.ok()) return reader.status();
    reading.push_back(*std::move(reader));
  }
  const auto revision = EventLog(**writing).LastRevision();
  if (!revision.ok()) return revision.status();
  auto store = std::make_unique<SqliteStore>(options, clock, std::move(lock), *std::move(writing),
                                             std::move(reading), *revision);
  absl::Status status = store->Resume();
  if (status.ok() && !checked) status = store->CheckInBackground();
  if (!status.ok()) return status;
  return store;
}

}  // namespace meltemi::store
