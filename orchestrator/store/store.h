// A key-value store with etcd's model: one global revision, transactions that compare and then
// write, ranges at a revision, watches from a revision, compaction, leases.
//
// Threads: every method may be called from any thread and blocks until it is done (a write: until
// it is durable). Watch callbacks come on a thread of the store, in order, one at a time per watch.
// Implementations: sqlite/ (embedded) and etcd/ (over gRPC); contract_test.h holds for both.
// Source: etcd's API guarantees, etcdserverpb/rpc.proto.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/clock/clock.h"

namespace meltemi::store {

using Revision = int64_t;  // the first write of an empty store makes revision 2, as in etcd

struct KeyValue {
  std::string key;
  std::string value;
  Revision create_revision = 0;
  Revision mod_revision = 0;
  int64_t version = 0;  // 1 after creation
  int64_t lease = 0;
};

// A condition on one key: its mod_revision is exactly this; 0: the key does not exist.
struct Compare {
  std::string key;
  Revision mod_revision = 0;
};

struct Write {
  enum class Type : uint8_t { kPut, kDelete };
  Type type = Type::kPut;
  std::string key;
  std::string value;
  int64_t lease = 0;  // 0: none
};

struct TxnResult {
  bool succeeded = false;
  // The revision of the writes; when a condition failed, the store's revision at that moment.
  Revision revision = 0;
  // When a condition failed: what the compared keys hold now, in the order of the comparisons;
  // nullopt where there is nothing.
  std::vector<std::optional<KeyValue>> current;
};

struct RangeOptions {
  Revision revision = 0;  // 0: now
  size_t limit = 0;       // 0: all
  bool keys_only = false;
  bool count_only = false;
  bool count = true;  // false: `count` is not needed, and need not be right
};

struct RangeResult {
  std::vector<KeyValue> kvs;  // sorted by key
  bool more = false;
  int64_t count = 0;      // all keys of the range, whatever the limit
  Revision revision = 0;  // the store's revision when it was read
};

struct Event {
  bool deleted = false;
  KeyValue kv;  // of a deletion: key and mod_revision (the deletion's) alone
  std::optional<KeyValue> previous;
};

class Watcher {
 public:
  virtual ~Watcher() = default;
  // All events of one or more whole revisions, in order; `revision` is the last one's. Without
  // events: the watch has seen everything up to `revision`.
  virtual void OnEvents(std::vector<Event> events, Revision revision) = 0;
  // The watch is over: OutOfRange when its next revision has been compacted, Unavailable when the
  // store is lost. Nothing follows.
  virtual void OnEnd(const absl::Status& why) = 0;
};

// Ends the watch when destroyed; no callback is running or follows afterwards. Never destroy it
// from within its own callback.
class WatchHandle {
 public:
  virtual ~WatchHandle() = default;
};

struct StoreSize {
  int64_t bytes_in_use = 0;
  int64_t bytes_max = 0;  // 0: no bound of ours
};

class Store {
 public:
  virtual ~Store() = default;

  // Linearizable at revision 0. Error: OutOfRange when the revision is compacted or in the future.
  virtual absl::StatusOr<std::optional<KeyValue>> Get(absl::string_view key,
                                                      Revision revision = 0) = 0;
  // All keys with first <= key < end; end "" means the one key.
  virtual absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view end,
                                            const RangeOptions& options = {}) = 0;
  // All writes or none, in one revision; each key at most once. Errors: ResourceExhausted when the
  // store is full ("etcdserver: mvcc: database space exceeded" and what to do), Unavailable when it
  // can't be reached: then whether it was written is unknown.
  virtual absl::StatusOr<TxnResult> Transact(const std::vector<Compare>& conditions,
                                             const std::vector<Write>& writes) = 0;
  // Events with a mod_revision >= from (0: from now on) of keys with first <= key < end.
  virtual std::unique_ptr<WatchHandle> Watch(absl::string_view first, absl::string_view end,
                                             Revision from, Watcher& watcher) = 0;

  // Linearizable: at least the revision of every write that was acknowledged before this call.
  virtual absl::StatusOr<Revision> CurrentRevision() = 0;
  // Forgets what is older than `revision`, which stays readable. OutOfRange when already compacted.
  virtual absl::Status Compact(Revision revision) = 0;

  // A lease whose keys are deleted when it is not kept alive for `ttl`.
  virtual absl::StatusOr<int64_t> GrantLease(Duration ttl) = 0;
  virtual absl::Status KeepLeaseAlive(int64_t lease) = 0;
  virtual absl::Status RevokeLease(int64_t lease) = 0;

  virtual absl::StatusOr<StoreSize> Size() = 0;
  // Cheap; for /readyz. The message says what to do.
  virtual absl::Status Health() = 0;
};

// The end of the range of all keys that begin with `prefix`.
std::string PrefixEnd(absl::string_view prefix);

}  // namespace meltemi::store
