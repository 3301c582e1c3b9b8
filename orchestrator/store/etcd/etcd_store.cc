#include "orchestrator/store/etcd/etcd_store.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "orchestrator/store/errors.h"
#include "orchestrator/store/etcd/etcd_watch.h"
#include "orchestrator/store/etcd/members.h"

namespace meltemi::store {
namespace {

constexpr Duration kCompactionTimeout = minutes(5);
constexpr Duration kHealthTimeout = seconds(2);

class EtcdStore final : public Store {
 public:
  EtcdStore(const EtcdOptions& options, std::unique_ptr<Members> members)
      : timeout_(options.request_timeout), members_(std::move(members)) {}

  absl::StatusOr<std::optional<KeyValue>> Get(absl::string_view key, Revision revision) override;
  absl::StatusOr<RangeResult> Range(absl::string_view first, absl::string_view end,
                                    const RangeOptions& options) override;
  absl::StatusOr<TxnResult> Transact(const std::vector<Compare>& conditions,
                                     const std::vector<Write>& writes) override;
  std::unique_ptr<WatchHandle> Watch(absl::string_view first, absl::string_view end, Revision from,
                                     Watcher& watcher) override;
  absl::StatusOr<Revision> CurrentRevision() override;
  absl::Status Compact(Revision revision) override;
  absl::StatusOr<int64_t> GrantLease(Duration ttl) override;
  absl::Status KeepLeaseAlive(int64_t lease) override;
  absl::Status RevokeLease(int64_t lease) override;
  absl::StatusOr<StoreSize> Size() override;
  absl::Status Health() override;

 private:
  using Call = std::function<grpc::Status(Member&, grpc::ClientContext&)>;
  // Once, on a member that is connected: what fails after that may have happened.
  absl::Status Once(Duration timeout, const Call& call);
  // Again on another member when one fails: for what changes nothing.
  absl::Status Read(Duration timeout, const Call& call);

  const Duration timeout_;
  const std::unique_ptr<Members> members_;
};

absl::Status EtcdStore::Once(Duration timeout, const Call& call) {
  const auto member = members_->Connected(timeout);
  if (!member.ok()) return member.status();
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() +
                       std::chrono::duration_cast<std::chrono::system_clock::duration>(timeout));
  const absl::Status status = FromGrpc(call(**member, context));
  if (absl::IsDeadlineExceeded(status) || absl::IsCancelled(status)) {
    members_->Leave(*member);
    return absl::UnavailableError(
        absl::StrCat("etcd has not answered in time: ", status.message()));
  }
  if (absl::IsUnavailable(status)) members_->Leave(*member);
  if (!absl::IsResourceExhausted(status)) return status;
  if (absl::StrContains(status.message(), "larger than max")) return RequestTooLarge();  // gRPC's
  if (absl::StrContains(status.message(), "database space exceeded")) {
    return absl::ResourceExhaustedError(
        absl::StrCat(status.message(),
                     "; compact and defragment the etcd cluster, then disarm its alarm "
                     "(etcdctl alarm disarm), or raise --quota-backend-bytes"));
  }
  return status;
}

absl::Status EtcdStore::Read(Duration timeout, const Call& call) {
  absl::Status status;
  for (size_t attempt = 0; attempt <= members_->size(); ++attempt) {
    status = Once(timeout, call);
    if (!absl::IsUnavailable(status)) return status;
  }
  return status;
}

absl::StatusOr<std::optional<KeyValue>> EtcdStore::Get(absl::string_view key, Revision revision) {
  auto range = Range(key, "", {.revision = revision});
  if (!range.ok()) return range.status();
  if (range->kvs.empty()) return std::nullopt;
  return std::move(range->kvs[0]);
}

absl::StatusOr<RangeResult> EtcdStore::Range(absl::string_view first, absl::string_view end,
                                             const RangeOptions& options) {
  etcdserverpb::RangeRequest request;
  request.set_key(std::string(first));
  request.set_range_end(std::string(end));
  request.set_revision(options.revision);
  request.set_limit(static_cast<int64_t>(options.limit));
  request.set_keys_only(options.keys_only);
  request.set_count_only(options.count_only);
  etcdserverpb::RangeResponse response;
  const absl::Status status = Read(timeout_, [&](Member& member, grpc::ClientContext& context) {
    return member.kv->Range(&context, request, &response);
  });
  if (!status.ok()) return status;
  RangeResult result{
      .more = response.more(), .count = response.count(), .revision = response.header().revision()};
  result.kvs.reserve(static_cast<size_t>(response.kvs_size()));
  for (const mvccpb::KeyValue& kv : response.kvs()) result.kvs.push_back(FromProto(kv));
  return result;
}

absl::StatusOr<TxnResult> EtcdStore::Transact(const std::vector<Compare>& conditions,
                                              const std::vector<Write>& writes) {
  etcdserverpb::TxnRequest request;
  for (const Compare& condition : conditions) {
    etcdserverpb::Compare& compare = *request.add_compare();
    compare.set_target(etcdserverpb::Compare::MOD);
    compare.set_result(etcdserverpb::Compare::EQUAL);
    compare.set_key(condition.key);
    compare.set_mod_revision(condition.mod_revision);
    request.add_failure()->mutable_request_range()->set_key(condition.key);
  }
  for (const Write& write : writes) {
    etcdserverpb::RequestOp& op = *request.add_success();
    if (write.type == Write::Type::kDelete) {
      op.mutable_request_delete_range()->set_key(write.key);
      continue;
    }
    op.mutable_request_put()->set_key(write.key);
    op.mutable_request_put()->set_value(write.value);
    op.mutable_request_put()->set_lease(write.lease);
  }
  etcdserverpb::TxnResponse response;
  const absl::Status status = Once(timeout_, [&](Member& member, grpc::ClientContext& context) {
    return member.kv->Txn(&context, request, &response);
  });
  if (!status.ok()) return status;
  TxnResult result{.succeeded = response.succeeded(), .revision = response.header().revision()};
  if (result.succeeded) return result;
  for (const etcdserverpb::ResponseOp& op : response.responses()) {
    const auto& kvs = op.response_range().kvs();
    result.current.push_back(kvs.empty() ? std::nullopt : std::make_optional(FromProto(kvs[0])));
  }
  return result;
}

std::unique_ptr<WatchHandle> EtcdStore::Watch(absl::string_view first, absl::string_view end,
                                              Revision from, Watcher& watcher) {
  absl::StatusOr<Revision> start = from;
  if (from == 0) {
    // Fixed now, so that nothing that is written after this call is missed.
    start = CurrentRevision();
    if (start.ok()) start = *start + 1;
  }
  return std::make_unique<EtcdWatch>(*members_, first, end, std::move(start), watcher);
}

absl::StatusOr<Revision> EtcdStore::CurrentRevision() {
  const auto range = Range("health", "", {.count_only = true});
  if (!range.ok()) return range.status();
  return range->revision;
}

absl::Status EtcdStore::Compact(Revision revision) {
  etcdserverpb::CompactionRequest request;
  request.set_revision(revision);
  request.set_physical(true);
  etcdserverpb::CompactionResponse response;
  return Once(kCompactionTimeout, [&](Member& member, grpc::ClientContext& context) {
    return member.kv->Compact(&context, request, &response);
  });
}

absl::StatusOr<int64_t> EtcdStore::GrantLease(Duration ttl) {
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(std::max<int64_t>((ToMillis(ttl) + 999) / 1000, 1));
  etcdserverpb::LeaseGrantResponse response;
  const absl::Status status = Once(timeout_, [&](Member& member, grpc::ClientContext& context) {
    return member.lease->LeaseGrant(&context, request, &response);
  });
  if (!status.ok()) return status;
  return response.id();
}

absl::Status EtcdStore::KeepLeaseAlive(int64_t lease) {
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(lease);
  etcdserverpb::LeaseKeepAliveResponse response;
  const absl::Status status = Read(timeout_, [&](Member& member, grpc::ClientContext& context) {
    const auto stream = member.lease->LeaseKeepAlive(&context);
    const bool answered = stream->Write(request) && stream->Read(&response);
    stream->WritesDone();
    // Leaving the stream as it is would wait for etcd to end it.
    if (answered) context.TryCancel();
    const grpc::Status finished = stream->Finish();
    return answered ? grpc::Status::OK : finished;
  });
  if (!status.ok()) return status;
  return response.ttl() > 0 ? absl::OkStatus() : NoSuchLease();
}

absl::Status EtcdStore::RevokeLease(int64_t lease) {
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(lease);
  etcdserverpb::LeaseRevokeResponse response;
  return Once(timeout_, [&](Member& member, grpc::ClientContext& context) {
    return member.lease->LeaseRevoke(&context, request, &response);
  });
}

absl::StatusOr<StoreSize> EtcdStore::Size() {
  etcdserverpb::StatusResponse response;
  const absl::Status status = Read(timeout_, [&](Member& member, grpc::ClientContext& context) {
    return member.maintenance->Status(&context, etcdserverpb::StatusRequest(), &response);
  });
  if (!status.ok()) return status;
  return StoreSize{.bytes_in_use =
                       response.dbsizeinuse() > 0 ? response.dbsizeinuse() : response.dbsize()};
}

absl::Status EtcdStore::Health() {
  etcdserverpb::RangeRequest request;
  request.set_key("health");
  request.set_count_only(true);
  etcdserverpb::RangeResponse response;
  return Once(kHealthTimeout, [&](Member& member, grpc::ClientContext& context) {
    return member.kv->Range(&context, request, &response);
  });
}

}  // namespace

absl::StatusOr<std::unique_ptr<Store>> OpenEtcdStore(const EtcdOptions& options) {
  auto members = Members::Make(options);
  if (!members.ok()) return members.status();
  return std::make_unique<EtcdStore>(options, *std::move(members));
}

}  // namespace meltemi::store
