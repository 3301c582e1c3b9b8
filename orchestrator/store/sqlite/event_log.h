// The table of all versions of all keys, as SQL on one connection.
//
// Every write is a row that is never changed: its number says the revision, its place within the
// transaction and whether it is a deletion, so that the index of keys alone tells what exists at a
// revision. Compaction removes rows that are no longer visible at the compacted revision or later.
//
// Threads: as the connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "orchestrator/store/sqlite/database.h"
#include "orchestrator/store/store.h"

namespace meltemi::store {

inline constexpr int kWritesPerRevisionBits = 10;

// The number of a row.
constexpr int64_t RowNumber(Revision revision, int64_t place, bool deleted) {
  return (revision << (kWritesPerRevisionBits + 1)) | (place << 1) | (deleted ? 1 : 0);
}
// Below it are all rows of `revision` and before.
constexpr int64_t RowsEnd(Revision revision) { return RowNumber(revision + 1, 0, false); }
constexpr Revision RevisionOfRow(int64_t row) { return row >> (kWritesPerRevisionBits + 1); }
constexpr bool IsDeletion(int64_t row) { return (row & 1) != 0; }

class EventLog {
 public:
  explicit EventLog(Connection& connection) : connection_(connection) {}

  // 1 when nothing was ever written.
  absl::StatusOr<Revision> LastRevision();
  // 0: never compacted. Below `removed` the rows are gone already.
  absl::StatusOr<Revision> Compacted();
  absl::StatusOr<Revision> Removed();
  absl::Status SetCompacted(Revision revision);
  absl::Status SetRemoved(Revision revision);

  // What `key` held before row `before`; nullopt: nothing, or it was deleted.
  absl::StatusOr<std::optional<KeyValue>> Latest(absl::string_view key, int64_t before);
  // The state just before row `before`.
  absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view end, int64_t before,
                                    const RangeOptions& options);
  // `kv`.mod_revision is the revision; a deletion needs the key alone.
  absl::Status Append(const KeyValue& kv, int64_t place, bool deleted);
  // Events of whole revisions from `from` on, up to about `rows_max` rows read; `last` becomes the
  // last revision that was looked at (0: none there).
  absl::Status Events(Revision from, absl::string_view first, absl::string_view end,
                      size_t rows_max, std::vector<Event>* events, Revision* last);

  // Removes rows that those of numbers in [from, end of `compacted`) have made invisible at
  // `compacted`; looks at `rows_max` rows and returns where to go on; nullopt: done.
  absl::StatusOr<std::optional<int64_t>> RemoveInvisible(int64_t from, Revision compacted,
                                                         size_t rows_max);

  absl::StatusOr<std::vector<std::string>> KeysOfLease(int64_t lease);

 private:
  absl::StatusOr<KeyValue> Row(int64_t row, bool with_value);

  Connection& connection_;
};

}  // namespace meltemi::store
