// The members of an etcd cluster: one channel each, and which of them to ask.
//
// Threads: all methods from any thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include <grpcpp/channel.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "etcd/etcdserverpb/rpc.grpc.pb.h"
#include "orchestrator/store/etcd/etcd_store.h"

namespace meltemi::store {

struct Member {
  std::string address;  // "host:port"
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<etcdserverpb::KV::Stub> kv;
  std::unique_ptr<etcdserverpb::Watch::Stub> watch;
  std::unique_ptr<etcdserverpb::Lease::Stub> lease;
  std::unique_ptr<etcdserverpb::Maintenance::Stub> maintenance;
};

class Members {
 public:
  static absl::StatusOr<std::unique_ptr<Members>> Make(const EtcdOptions& options);

  // One that is connected, preferably the last one that was. Error: Unavailable, when none answers
  // within `wait`.
  absl::StatusOr<Member*> Connected(Duration wait);
  // `member` has failed: others are preferred.
  void Leave(const Member* member);
  size_t size() const { return members_.size(); }

 private:
  explicit Members(std::vector<std::unique_ptr<Member>> members) : members_(std::move(members)) {}

  const std::vector<std::unique_ptr<Member>> members_;
  std::atomic<size_t> preferred_{0};
};

// gRPC's status as ours; etcd's own codes carry over.
absl::Status FromGrpc(const grpc::Status& status);

}  // namespace meltemi::store
