#include "orchestrator/apiserver/memory/memory_store.h"

namespace meltemi::apiserver {

absl::StatusOr<std::optional<store::KeyValue>> MemoryStore::Get(absl::string_view key,
                                                                store::Revision revision) {
  if (revision != 0 && revision != revision_) {
    return absl::OutOfRangeError("only the present revision is kept");
  }
  const auto found = kvs_.find(key);
  if (found == kvs_.end()) return std::optional<store::KeyValue>();
  return std::make_optional(found->second);
}

absl::StatusOr<store::RangeResult> MemoryStore::Range(absl::string_view first,
                                                      absl::string_view end,
                                                      const store::RangeOptions& options) {
  if (options.revision != 0 && options.revision != revision_) {
    return absl::OutOfRangeError("only the present revision is kept");
  }
  store::RangeResult out;
  out.revision = revision_;
  for (auto it = kvs_.lower_bound(first); it != kvs_.end(); ++it) {
    if (end.empty() ? it->first != first : it->first >= end) break;
    ++out.count;
    if (options.count_only) continue;
    if (options.limit != 0 && out.kvs.size() == options.limit) {
      out.more = true;
      continue;
    }
    out.kvs.push_back(it->second);
    if (options.keys_only) out.kvs.back().value.clear();
  }
  return out;
}

absl::StatusOr<store::TxnResult> MemoryStore::Transact(
    const std::vector<store::Compare>& conditions, const std::vector<store::Write>& writes) {
  store::TxnResult out;
  out.succeeded = true;
  for (const store::Compare& condition : conditions) {
    const auto found = kvs_.find(condition.key);
    const store::Revision is = found == kvs_.end() ? 0 : found->second.mod_revision;
    out.succeeded = out.succeeded && is == condition.mod_revision;
  }
  if (!out.succeeded) {
    out.revision = revision_;
    for (const store::Compare& condition : conditions) {
      const auto found = kvs_.find(condition.key);
      out.current.push_back(found == kvs_.end() ? std::nullopt : std::make_optional(found->second));
    }
    return out;
  }
  out.revision = ++revision_;
  for (const store::Write& write : writes) Apply(write);
  if (on_commit_) on_commit_(writes, out.revision);
  return out;
}

void MemoryStore::Apply(const store::Write& write) {
  if (write.type == store::Write::Type::kDelete) {
    kvs_.erase(write.key);
    return;
  }
  store::KeyValue& kv = kvs_[write.key];
  if (kv.version++ == 0) kv.create_revision = revision_;
  kv.key = write.key;
  kv.value = write.value;
  kv.mod_revision = revision_;
  kv.lease = write.lease;
}

std::unique_ptr<store::WatchHandle> MemoryStore::Watch(absl::string_view, absl::string_view,
                                                       store::Revision, store::Watcher& watcher) {
  watcher.OnEnd(absl::UnimplementedError("the store in memory has no watches"));
  return std::make_unique<store::WatchHandle>();
}

}  // namespace meltemi::apiserver
