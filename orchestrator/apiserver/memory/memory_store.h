// The store in memory: revisions and transactions of one moment, the present. Whoever follows it is
// told of each transaction before it comes back.
//
// Threads: one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "orchestrator/store/store.h"

namespace meltemi::apiserver {

class MemoryStore final : public store::Store {
 public:
  // Called with what was written, in its revision.
  using OnCommit = std::function<void(const std::vector<store::Write>&, store::Revision)>;
  void SetOnCommit(OnCommit on_commit) { on_commit_ = std::move(on_commit); }
  store::Revision revision() const { return revision_; }

  // Of the present alone: other revisions are OutOfRange.
  absl::StatusOr<std::optional<store::KeyValue>> Get(absl::string_view key,
                                                     store::Revision revision) override;
  absl::StatusOr<store::RangeResult> Range(absl::string_view first, absl::string_view end,
                                           const store::RangeOptions& options) override;
  absl::StatusOr<store::TxnResult> Transact(const std::vector<store::Compare>& conditions,
                                            const std::vector<store::Write>& writes) override;
  // Unimplemented: OnCommit takes its place. The watch ends at once.
  std::unique_ptr<store::WatchHandle> Watch(absl::string_view first, absl::string_view end,
                                            store::Revision from, store::Watcher& watcher) override;

  absl::StatusOr<store::Revision> CurrentRevision() override { return revision_; }
  absl::Status Compact(store::Revision) override { return absl::OkStatus(); }
  // Leases never run out: nothing here lasts long enough.
  absl::StatusOr<int64_t> GrantLease(Duration) override { return ++leases_; }
  absl::Status KeepLeaseAlive(int64_t) override { return absl::OkStatus(); }
  absl::Status RevokeLease(int64_t) override { return absl::OkStatus(); }
  absl::StatusOr<store::StoreSize> Size() override { return store::StoreSize(); }
  absl::Status Health() override { return absl::OkStatus(); }

 private:
  void Apply(const store::Write& write);

  OnCommit on_commit_;
  std::map<std::string, store::KeyValue, std::less<>> kvs_;
  store::Revision revision_ = 1;
  int64_t leases_ = 0;
};

}  // namespace meltemi::apiserver
