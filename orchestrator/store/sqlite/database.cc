#include "orchestrator/store/sqlite/database.h"

#include <sqlite3.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace meltemi::store {

Query::Query(Connection& connection, absl::string_view sql) : connection_(connection) {
  auto statement = connection.Prepare(sql);
  if (statement.ok()) {
    statement_ = *statement;
  } else {
    status_ = statement.status();
  }
}

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Query::Fail(int code) {
  if (status_.ok()) status_ = connection_.Error(code);
}

Query& Query::Int(int index, int64_t value) {
  if (statement_ == nullptr) return *this;
  const int code = sqlite3_bind_int64(statement_, index, value);
  if (code != SQLITE_OK) Fail(code);
  return *this;
}

Query& Query::Blob(int index, absl::string_view bytes) {
  if (statement_ == nullptr) return *this;
  // An empty view may have a null pointer, which SQLite would take for NULL.
  const char* data = bytes.data() == nullptr ? "" : bytes.data();
  const int code = sqlite3_bind_blob64(statement_, index, data, bytes.size(), SQLITE_STATIC);
  if (code != SQLITE_OK) Fail(code);
  return *this;
}

bool Query::Step() {
  if (!status_.ok()) return false;
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) Fail(code);
  return false;
}

absl::Status Query::Run() {
  while (Step()) {
  }
  return status_;
}

int64_t Query::IntAt(int column) const { return sqlite3_column_int64(statement_, column); }

absl::string_view Query::BlobAt(int column) const {
  // The size has to be asked for after the bytes.
  const void* bytes = sqlite3_column_blob(statement_, column);
  const int size = sqlite3_column_bytes(statement_, column);
  return absl::string_view(static_cast<const char*>(bytes), static_cast<size_t>(size));
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const std::string& path,
                                                             Access access) {
  const int access_flags =
      access == Access::kRead ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  sqlite3* database = nullptr;
  const int code =
      sqlite3_open_v2(path.empty() ? ":memory:" : path.c_str(), &database,
                      access_flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  if (database == nullptr) return absl::UnavailableError("SQLite has no memory to open a file");
  auto connection = std::unique_ptr<Connection>(new Connection(database, path));
  if (code != SQLITE_OK) return connection->Error(code);
  // Readers never wait for the writer; only the last steps of recovery after a crash lock.
  sqlite3_busy_timeout(database, 5000);
  return connection;
}

Connection::~Connection() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close_v2(database_);
}

absl::StatusOr<sqlite3_stmt*> Connection::Prepare(absl::string_view sql) {
  const auto known = statements_.find(sql);
  if (known != statements_.end()) return known->second;
  sqlite3_stmt* statement = nullptr;
  const int code = sqlite3_prepare_v3(database_, sql.data(), static_cast<int>(sql.size()),
                                      SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return Error(code);
  statements_.emplace(std::string(sql), statement);
  return statement;
}

absl::Status Connection::Execute(const char* sql) {
  const int code = sqlite3_exec(database_, sql, nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : Error(code);
}

absl::StatusOr<int64_t> Connection::Number(absl::string_view sql) {
  Query query(*this, sql);
  const int64_t number = query.Step() ? query.IntAt(0) : 0;
  if (!query.status().ok()) return query.status();
  return number;
}

void Connection::Interrupt() { sqlite3_interrupt(database_); }

bool Connection::in_transaction() const { return sqlite3_get_autocommit(database_) == 0; }

int Connection::changes() const { return sqlite3_changes(database_); }

absl::Status Connection::Error(int code) const {
  const int primary = code & 0xff;
  const int system_error = sqlite3_system_errno(database_);
  std::string what = absl::StrCat(path_.empty() ? "the store in memory" : path_, ": SQLite says \"",
                                  sqlite3_errmsg(database_), "\"");
  if (system_error != 0) absl::StrAppend(&what, " (", std::strerror(system_error), ")");
  if (primary == SQLITE_FULL || (primary == SQLITE_IOERR && system_error == ENOSPC)) {
    return absl::ResourceExhaustedError(
        absl::StrCat("etcdserver: mvcc: database space exceeded: the disk is full: ", what,
                     "; free space on the disk: writes work again at once"));
  }
  if (primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB) {
    return absl::DataLossError(absl::StrCat(
        "the store's file is damaged: ", what,
        "; stop the server, keep a copy of the file with its -wal, and restore a backup (or save "
        "what can be read with `sqlite3 FILE .recover | sqlite3 NEW-FILE`)"));
  }
  if (primary == SQLITE_CANTOPEN) {
    return absl::FailedPreconditionError(
        absl::StrCat(what, "; does the folder exist, and may this user write to it?"));
  }
  return absl::UnavailableError(what);
}

}  // namespace meltemi::store
