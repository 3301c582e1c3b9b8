#include "orchestrator/store/sqlite/event_log.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meltemi::store {
namespace {

constexpr int64_t kNoRow = std::numeric_limits<int64_t>::max();

// The smallest key above `key`: how "the one key" is written as a range.
std::string KeyAfter(absl::string_view key) {
  return absl::StrCat(key, absl::string_view("\0", 1));
}

}  // namespace

absl::StatusOr<Revision> EventLog::LastRevision() {
  const auto row = connection_.Number("SELECT max(row) FROM log");
  if (!row.ok()) return row.status();
  // The first revision of an empty store is 1; a compaction never removes the newest row.
  return *row == 0 ? Revision{1} : RevisionOfRow(*row);
}

absl::StatusOr<Revision> EventLog::Compacted() {
  return connection_.Number("SELECT value FROM state WHERE name = 'compacted'");
}

absl::StatusOr<Revision> EventLog::Removed() {
  return connection_.Number("SELECT value FROM state WHERE name = 'removed'");
}

absl::Status EventLog::SetCompacted(Revision revision) {
  return Query(connection_, "REPLACE INTO state (name, value) VALUES ('compacted', ?1)")
      .Int(1, revision)
      .Run();
}

absl::Status EventLog::SetRemoved(Revision revision) {
  return Query(connection_, "REPLACE INTO state (name, value) VALUES ('removed', ?1)")
      .Int(1, revision)
      .Run();
}

absl::StatusOr<std::optional<KeyValue>> EventLog::Latest(absl::string_view key, int64_t before) {
  Query query(connection_,
              "SELECT row, created, version, lease, value FROM log "
              "WHERE key = ?1 AND row < ?2 ORDER BY row DESC LIMIT 1");
  query.Blob(1, key).Int(2, before);
  if (!query.Step()) {
    if (!query.status().ok()) return query.status();
    return std::nullopt;
  }
  const int64_t row = query.IntAt(0);
  if (IsDeletion(row)) return std::nullopt;
  return KeyValue{.key = std::string(key),
                  .value = std::string(query.BlobAt(4)),
                  .create_revision = query.IntAt(1),
                  .mod_revision = RevisionOfRow(row),
                  .version = query.IntAt(2),
                  .lease = query.IntAt(3)};
}

absl::StatusOr<KeyValue> EventLog::Row(int64_t row, bool with_value) {
  Query query(connection_,
              with_value ? "SELECT key, created, version, lease, value FROM log WHERE row = ?1"
                         : "SELECT key, created, version, lease FROM log WHERE row = ?1");
  query.Int(1, row);
  if (!query.Step()) {
    if (!query.status().ok()) return query.status();
    return absl::DataLossError(absl::StrCat("the store's index names row ", row,
                                            ", which is not there: the file is damaged"));
  }
  KeyValue kv{.key = std::string(query.BlobAt(0)),
              .create_revision = query.IntAt(1),
              .mod_revision = RevisionOfRow(row),
              .version = query.IntAt(2),
              .lease = query.IntAt(3)};
  if (with_value) kv.value = std::string(query.BlobAt(4));
  return kv;
}

absl::StatusOr<RangeResult> EventLog::Range(absl::string_view first, absl::string_view end,
                                            int64_t before, const RangeOptions& options) {
  const std::string end_key = end.empty() ? KeyAfter(first) : std::string(end);
  RangeResult result;
  // The index of keys has the row's number in it: the table is read for what is returned alone.
  Query query(connection_,
              "SELECT max(row) FROM log INDEXED BY log_by_key "
              "WHERE key >= ?1 AND key < ?2 AND row < ?3 GROUP BY key");
  query.Blob(1, first).Blob(2, end_key).Int(3, before);
  while (query.Step()) {
    const int64_t row = query.IntAt(0);
    if (IsDeletion(row)) continue;
    ++result.count;
    if (options.count_only) continue;
    if (options.limit != 0 && result.kvs.size() == options.limit) {
      result.more = true;
      if (!options.count) break;
      continue;
    }
    auto kv = Row(row, !options.keys_only);
    if (!kv.ok()) return kv.status();
    result.kvs.push_back(*std::move(kv));
  }
  if (!query.status().ok()) return query.status();
  return result;
}

absl::Status EventLog::Append(const KeyValue& kv, int64_t place, bool deleted) {
  return Query(connection_,
               "INSERT INTO log (row, key, created, version, lease, value) "
               "VALUES (?1, ?2, ?3, ?4, ?5, ?6)")
      .Int(1, RowNumber(kv.mod_revision, place, deleted))
      .Blob(2, kv.key)
      .Int(3, kv.create_revision)
      .Int(4, kv.version)
      .Int(5, kv.lease)
      .Blob(6, kv.value)
      .Run();
}

absl::Status EventLog::Events(Revision from, absl::string_view first, absl::string_view end,
                              size_t rows_max, std::vector<Event>* events, Revision* last) {
  *last = 0;
  Query query(connection_,
              "SELECT row, key, created, version, lease, value FROM log WHERE row >= ?1 "
              "ORDER BY row");
  query.Int(1, RowNumber(from, 0, false));
  for (size_t rows = 0; query.Step(); ++rows) {
    const int64_t row = query.IntAt(0);
    const Revision revision = RevisionOfRow(row);
    if (rows >= rows_max && revision != *last) break;
    *last = revision;
    const absl::string_view key = query.BlobAt(1);
    if (end.empty() ? key != first : key < first || key >= end) continue;
    Event event{.deleted = IsDeletion(row)};
    event.kv.key = std::string(key);
    event.kv.mod_revision = revision;
    if (!event.deleted) {
      event.kv.create_revision = query.IntAt(2);
      event.kv.version = query.IntAt(3);
      event.kv.lease = query.IntAt(4);
      event.kv.value = std::string(query.BlobAt(5));
    }
    auto previous = Latest(event.kv.key, row);
    if (!previous.ok()) return previous.status();
    event.previous = *std::move(previous);
    events->push_back(std::move(event));
  }
  return query.status();
}

absl::StatusOr<std::optional<int64_t>> EventLog::RemoveInvisible(int64_t from, Revision compacted,
                                                                 size_t rows_max) {
  std::vector<std::pair<int64_t, std::string>> rows;
  {
    Query query(connection_,
                "SELECT row, key FROM log WHERE row >= ?1 AND row < ?2 ORDER BY row LIMIT ?3");
    query.Int(1, from).Int(2, RowsEnd(compacted)).Int(3, static_cast<int64_t>(rows_max));
    while (query.Step()) rows.emplace_back(query.IntAt(0), std::string(query.BlobAt(1)));
    if (!query.status().ok()) return query.status();
  }
  for (const auto& [row, key] : rows) {
    auto status = Query(connection_, "DELETE FROM log WHERE key = ?1 AND row < ?2")
                      .Blob(1, key)
                      .Int(2, row)
                      .Run();
    if (!status.ok()) return status;
    // A deletion at the compacted revision itself stays: watches may begin there, and the newest
    // row says what the store's revision is.
    if (!IsDeletion(row) || RevisionOfRow(row) == compacted) continue;
    status = Query(connection_, "DELETE FROM log WHERE row = ?1").Int(1, row).Run();
    if (!status.ok()) return status;
  }
  if (rows.size() < rows_max) return std::nullopt;
  return rows.back().first + 1;
}

absl::StatusOr<std::vector<std::string>> EventLog::KeysOfLease(int64_t lease) {
  std::vector<std::string> candidates;
  {
    Query query(connection_, "SELECT DISTINCT key FROM log WHERE lease = ?1 AND lease != 0");
    query.Int(1, lease);
    while (query.Step()) candidates.emplace_back(query.BlobAt(0));
    if (!query.status().ok()) return query.status();
  }
  std::vector<std::string> keys;
  for (std::string& key : candidates) {
    auto latest = Latest(key, kNoRow);
    if (!latest.ok()) return latest.status();
    if (latest->has_value() && (*latest)->lease == lease) keys.push_back(std::move(key));
  }
  return keys;
}

}  // namespace meltemi::store
