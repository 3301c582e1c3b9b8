// SQLite's C API with Status for errors: one connection, and statements that are prepared once.
//
// Threads: a Connection is used by one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

struct sqlite3;
struct sqlite3_stmt;

namespace meltemi::store {

class Connection;

// One run of a prepared statement. Parameters count from 1, columns from 0. Ends when destroyed; a
// statement has one run at a time.
class Query {
 public:
  Query(Connection& connection, absl::string_view sql);
  ~Query();
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  Query& Int(int index, int64_t value);
  // `bytes` stay where they are until the query ends.
  Query& Blob(int index, absl::string_view bytes);

  // True: there is a row. False: the end, or an error: see status().
  bool Step();
  const absl::Status& status() const { return status_; }
  // Steps to the end, for what gives no rows.
  absl::Status Run();

  int64_t IntAt(int column) const;
  absl::string_view BlobAt(int column) const;  // until the next step

 private:
  void Fail(int code);

  Connection& connection_;
  sqlite3_stmt* statement_ = nullptr;
  absl::Status status_;
};

class Connection {
 public:
  enum class Access : uint8_t { kReadWrite, kRead };
  // `path` "" is a database in memory.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const std::string& path, Access access);
  ~Connection();

  // Any number of statements, results ignored.
  absl::Status Execute(const char* sql);
  // The one number that a statement gives; 0 where there is no row.
  absl::StatusOr<int64_t> Number(absl::string_view sql);
  // Makes a statement that is running fail; from any thread.
  void Interrupt();
  // False once a failure has ended the transaction by itself.
  bool in_transaction() const;
  int changes() const;  // rows that the last statement changed

  // What an SQLite code means for the caller: ResourceExhausted (the disk is full), DataLoss (the
  // file is damaged), Unavailable (everything else); says what to do.
  absl::Status Error(int code) const;

 private:
  friend class Query;
  Connection(sqlite3* database, std::string path) : database_(database), path_(std::move(path)) {}
  absl::StatusOr<sqlite3_stmt*> Prepare(absl::string_view sql);

  sqlite3* const database_;
  const std::string path_;
  absl::flat_hash_map<std::string, sqlite3_stmt*> statements_;
};

}  // namespace meltemi::store
