// What clients did to a store and what they saw, and whether that can be: the checker behind the
// tests that kill servers.
//
// A client writes down each operation before it begins and after it has ended, as lines of text, so
// that they survive the client's own death. The truth is what the store itself says has happened:
// every change in the order of revisions. Checked is that
// - each acknowledged write happened once, at its revision and on the state that it was conditional
//   on; a refused one never; one of unknown outcome at most once;
// - operations are linearizable: none takes effect before one that had ended when it began;
// - reads saw the truth at their revision;
// - each watch saw every change after its start exactly once, in order, up to the last it saw.
//
// Threads: AddLine from any thread; Check when all is over.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace meltemi::history {

// One change of one key, as the store tells it.
struct Change {
  int64_t revision = 0;
  std::string key;
  bool deleted = false;
  std::string value;
};

enum class Kind : char {
  kPut = 'P',
  kDelete = 'D',
  kRead = 'R',  // of one key or of all, at a revision of the whole store
  kGet = 'G',   // of one key: what it holds, and the revision of that
};

enum class Outcome : char { kUnknown = 'u', kDone = 'd', kRefused = 'r' };

struct Operation {
  Kind kind = Kind::kRead;
  std::string key;       // of a kRead: "" when all keys were read
  int64_t expected = 0;  // revision of the key's last change, 0: there is no such key
  std::string value;     // of a kPut: no two have the same
  int64_t begin_ns = 0, end_ns = 0;
  Outcome outcome = Outcome::kUnknown;
  // Of a write: the change's, 0 when the client was not told. Of a kRead: the store's. Of a kGet:
  // the key's last change's; 0 when there was nothing.
  int64_t revision = 0;
  std::map<std::string, std::string> seen;  // kRead: values by key
};

struct Session {
  int64_t after = 0;  // changes after this revision
  std::vector<Change> seen;
};

class History {
 public:
  // Lines as Begin, End, Watch and Saw make them; others are ignored.
  void AddLine(absl::string_view line);

  static std::string Begin(uint64_t id, const Operation& operation);
  static std::string End(uint64_t id, const Operation& operation);
  static std::string Watch(uint64_t session, int64_t after);
  static std::string Saw(uint64_t session, const Change& change);

  // What is wrong; empty when nothing is. `truth`: all changes, in order.
  std::vector<std::string> Check(const std::vector<Change>& truth) const;

  struct Counts {
    size_t acknowledged = 0, refused = 0, unknown = 0, reads = 0, sessions = 0, events = 0;
  };
  Counts counts() const;
  // The last revision that a watch has seen; 0: none.
  int64_t last_seen() const;
  // Until `count` lines more have come, or `max` is over.
  void WaitForLines(size_t count, std::chrono::microseconds max);
  // Until `count` operations more are acknowledged; false after `max`.
  bool WaitForAcknowledged(size_t count, std::chrono::microseconds max);
  // Until a watch has seen what is acknowledged by now; false after `max`.
  bool WaitForWatch(std::chrono::microseconds max);

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  size_t lines_ = 0;
  std::map<uint64_t, Operation> operations_;
  std::map<uint64_t, Session> sessions_;
  int64_t last_seen_ = 0, last_acknowledged_ = 0;
  size_t acknowledged_ = 0;
};

// Nanoseconds of a clock that all processes of the machine share.
int64_t NowNs();

}  // namespace meltemi::history
