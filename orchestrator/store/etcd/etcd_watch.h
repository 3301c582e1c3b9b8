// One watch on etcd: a stream that is opened again where it ended, until the watch is over.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include <grpcpp/client_context.h>

#include "absl/base/thread_annotations.h"
#include "orchestrator/store/etcd/members.h"
#include "orchestrator/store/store.h"

namespace meltemi::store {

KeyValue FromProto(const mvccpb::KeyValue& kv);

class EtcdWatch final : public WatchHandle {
 public:
  // `from`: a revision (never 0 here), or why there is none: then the watch ends with that.
  EtcdWatch(Members& members, absl::string_view first, absl::string_view end,
            absl::StatusOr<Revision> from, Watcher& watcher);
  ~EtcdWatch() override;

 private:
  void Loop();
  // Reads one stream to its end. An error ends the watch: OutOfRange.
  absl::Status Follow();
  absl::Status Handle(const etcdserverpb::WatchResponse& response);
  // False: the watch is over.
  bool Pause();

  Members& members_;
  const std::string first_, end_;
  Watcher& watcher_;
  absl::StatusOr<Revision> next_;  // the watch's thread alone

  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<grpc::ClientContext> context_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace meltemi::store
