// Opening the store's file: settings, tables, and the checks that tell a store from anything else.
//
// Threads: called once, before the store has any.
#pragma once

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orchestrator/store/sqlite/database.h"
#include "orchestrator/store/sqlite/sqlite_store.h"

namespace meltemi::store {

// The connection that writes. Creates the tables in a new file. A file of at most 64 MiB has been
// checked as a whole; `checked` says so. Errors: see OpenSqliteStore.
absl::StatusOr<std::unique_ptr<Connection>> OpenForWriting(const SqliteOptions& options,
                                                           bool* checked);
absl::StatusOr<std::unique_ptr<Connection>> OpenForReading(const SqliteOptions& options);

// Reads the whole file. DataLoss: what SQLite has found.
absl::Status CheckFile(Connection& connection, const std::string& path);

}  // namespace meltemi::store
