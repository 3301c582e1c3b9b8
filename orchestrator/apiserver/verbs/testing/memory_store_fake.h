// A store in memory for tests: revisions, transactions and ranges at the present revision; no
// watches, no history.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "orchestrator/store/store.h"

namespace meltemi::store {

class MemoryStoreFake final : public Store {
 public:
  absl::StatusOr<std::optional<KeyValue>> Get(absl::string_view key, Revision) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto found = kvs_.find(std::string(key));
    if (found == kvs_.end()) return std::nullopt;
    return found->second;
  }
  absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view end,
                                    const RangeOptions&) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    RangeResult out;
    out.revision = revision_;
    for (const auto& [key, kv] : kvs_) {
      if (key >= first && key < end) out.kvs.push_back(kv);
    }
    out.count = static_cast<int64_t>(out.kvs.size());
    return out;
  }
  absl::StatusOr<TxnResult> Transact(const std::vector<Compare>& conditions,
                                     const std::vector<Write>& writes) override {
    if (before_transact) std::exchange(before_transact, nullptr)();
    const std::lock_guard<std::mutex> lock(mutex_);
    TxnResult out;
    out.succeeded = true;
    for (const Compare& condition : conditions) {
      const auto found = kvs_.find(condition.key);
      const Revision is = found == kvs_.end() ? 0 : found->second.mod_revision;
      out.succeeded = out.succeeded && is == condition.mod_revision;
      out.current.push_back(found == kvs_.end() ? std::nullopt : std::make_optional(found->second));
    }
    if (!out.succeeded) {
      out.revision = revision_;
      return out;
    }
    out.current.clear();
    out.revision = ++revision_;
    for (const Write& write : writes) {
      if (write.type == Write::Type::kDelete) {
        kvs_.erase(write.key);
        continue;
      }
      KeyValue& kv = kvs_[write.key];
      if (kv.version++ == 0) kv.create_revision = revision_;
      kv.key = write.key;
      kv.value = write.value;
      kv.mod_revision = revision_;
      kv.lease = write.lease;
    }
    return out;
  }
  std::unique_ptr<WatchHandle> Watch(absl::string_view, absl::string_view, Revision,
                                     Watcher&) override {
    return std::make_unique<WatchHandle>();
  }
  absl::StatusOr<Revision> CurrentRevision() override { return revision_; }
  absl::Status Compact(Revision) override { return absl::OkStatus(); }
  absl::StatusOr<int64_t> GrantLease(Duration) override { return ++leases_; }
  absl::Status KeepLeaseAlive(int64_t) override { return absl::OkStatus(); }
  absl::Status RevokeLease(int64_t) override { return absl::OkStatus(); }
  absl::StatusOr<StoreSize> Size() override { return StoreSize(); }
  absl::Status Health() override { return absl::OkStatus(); }

  std::map<std::string, KeyValue> all() const { return kvs_; }
  // Called once before the next transaction: somebody else's write comes between.
  std::function<void()> before_transact;

 private:
  std::mutex mutex_;
  std::map<std::string, KeyValue> kvs_;
  Revision revision_ = 1;
  int64_t leases_ = 0;
};

}  // namespace meltemi::store
