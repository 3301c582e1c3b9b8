#include "orchestrator/store/sqlite/open.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace meltemi::store {
namespace {

constexpr int64_t kApplicationId = 0x6d6c746d;  // "mltm"
constexpr int64_t kSchemaVersion = 1;
constexpr int64_t kCheckedAtOnceBytesMax = 64 * 1024 * 1024;

// Objects of two kilobytes fit whole into a page of eight; free pages are given back piecemeal.
constexpr char kNewFile[] = "PRAGMA page_size = 8192; PRAGMA auto_vacuum = INCREMENTAL;";

constexpr char kTables[] =
    "CREATE TABLE log (row INTEGER PRIMARY KEY, key BLOB NOT NULL, created INTEGER NOT NULL,"
    " version INTEGER NOT NULL, lease INTEGER NOT NULL, value BLOB NOT NULL);"
    "CREATE INDEX log_by_key ON log (key);"
    "CREATE INDEX log_by_lease ON log (lease) WHERE lease != 0;"
    "CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE leases (id INTEGER PRIMARY KEY, ttl_ms INTEGER NOT NULL);"
    "PRAGMA application_id = 0x6d6c746d; PRAGMA user_version = 1;";

absl::Status CreateTables(Connection& connection) {
  absl::Status status = connection.Execute("BEGIN IMMEDIATE");
  if (status.ok()) status = connection.Execute(kTables);
  if (status.ok()) status = connection.Execute("COMMIT");
  return status;
}

absl::Status CheckOwner(Connection& connection, const std::string& path) {
  const auto application = connection.Number("PRAGMA application_id");
  if (!application.ok()) return application.status();
  if (*application != kApplicationId) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " is a database of something else, not a store; use another data folder"));
  }
  const auto version = connection.Number("PRAGMA user_version");
  if (!version.ok()) return version.status();
  if (*version != kSchemaVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " has the format ", *version, ", and this program knows ",
                     kSchemaVersion, "; run the version that wrote it, or a newer one"));
  }
  return absl::OkStatus();
}

absl::Status Configure(Connection& connection, const SqliteOptions& options) {
  // The checkpoint copies 2000 pages (16 MiB) of the write-ahead log into the file.
  const std::string settings = absl::StrCat(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = ", options.sync ? "FULL" : "OFF",
      "; PRAGMA wal_autocheckpoint = 2000; PRAGMA journal_size_limit = 67108864;"
      " PRAGMA cache_size = -16000; PRAGMA temp_store = MEMORY;");
  return connection.Execute(settings.c_str());
}

}  // namespace

absl::Status CheckFile(Connection& connection, const std::string& path) {
  Query query(connection, "PRAGMA quick_check(1)");
  if (!query.Step()) return query.status();
  const std::string found(query.BlobAt(0));
  if (found == "ok") return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(
      "the store's file is damaged: ", path, ": SQLite says \"", found,
      "\"; stop the server, keep a copy of the file with its -wal, and restore a backup (or save "
      "what can be read with `sqlite3 FILE .recover | sqlite3 NEW-FILE`)"));
}

absl::StatusOr<std::unique_ptr<Connection>> OpenForWriting(const SqliteOptions& options,
                                                           bool* checked) {
  auto connection = Connection::Open(options.path, Connection::Access::kReadWrite);
  if (!connection.ok()) return connection.status();
  Connection& database = **connection;
  const auto tables = database.Number("SELECT count(*) FROM sqlite_schema");
  if (!tables.ok()) return tables.status();
  absl::Status status;
  if (*tables == 0) {
    status = database.Execute(kNewFile);
    if (status.ok()) status = Configure(database, options);
    if (status.ok()) status = CreateTables(database);
    *checked = true;
  } else {
    status = CheckOwner(database, options.path);
    if (status.ok()) status = Configure(database, options);
    const auto pages = database.Number("PRAGMA page_count");
    const auto page_bytes = database.Number("PRAGMA page_size");
    *checked = pages.ok() && page_bytes.ok() && *pages * *page_bytes <= kCheckedAtOnceBytesMax;
    if (status.ok() && *checked) status = CheckFile(database, options.path);
  }
  if (!status.ok()) return status;
  return connection;
}

absl::StatusOr<std::unique_ptr<Connection>> OpenForReading(const SqliteOptions& options) {
  auto connection = Connection::Open(options.path, Connection::Access::kRead);
  if (!connection.ok()) return connection.status();
  const absl::Status status = (*connection)->Execute("PRAGMA cache_size = -4000;");
  if (!status.ok()) return status;
  return connection;
}

}  // namespace meltemi::store
