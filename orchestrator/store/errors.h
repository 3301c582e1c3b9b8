// The errors of the store in etcd's words, which Kubernetes' users and tools look for.
//
// Threads: functions without state.
#pragma once

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace meltemi::store {

inline absl::Status Compacted() {
  return absl::OutOfRangeError("etcdserver: mvcc: required revision has been compacted");
}
inline absl::Status FutureRevision() {
  return absl::OutOfRangeError("etcdserver: mvcc: required revision is a future revision");
}
inline absl::Status SpaceExceeded(int64_t bytes_max) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "etcdserver: mvcc: database space exceeded: the store holds its maximum of ", bytes_max,
      " bytes; delete what is not needed (deletions still work, and the space is there after the "
      "next compaction, at most ten minutes later), or start the server with a higher bound"));
}
inline absl::Status RequestTooLarge() {
  return absl::InvalidArgumentError("etcdserver: request is too large");
}
inline absl::Status TooManyOperations() {
  return absl::InvalidArgumentError("etcdserver: too many operations in txn request");
}
inline absl::Status DuplicateKey() {
  return absl::InvalidArgumentError("etcdserver: duplicate key given in txn request");
}
inline absl::Status NoSuchLease() {
  return absl::NotFoundError("etcdserver: requested lease not found");
}
inline absl::Status EmptyKey() {
  return absl::InvalidArgumentError("etcdserver: key is not provided");
}

}  // namespace meltemi::store
