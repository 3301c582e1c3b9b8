// Reads everything below a prefix of the store, then follows it: one state, then every change after
// it in order, whatever happens to the store in between.
//
// Threads: calls its target on one thread at a time. Start once.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "orchestrator/store/store.h"

namespace meltemi::apiserver {

class FollowTarget {
 public:
  virtual ~FollowTarget() = default;
  // The whole state, in parts: a beginning, parts in the order of their keys, an end. A beginning
  // may come again before the end: then it starts anew. The first time, and when changes have been
  // compacted away meanwhile (`gap`). False: begin anew.
  virtual void OnStateBegin() = 0;
  virtual void OnStatePart(std::vector<store::KeyValue> kvs) = 0;
  virtual bool OnStateEnd(store::Revision revision, bool gap) = 0;
  virtual void OnChanges(std::vector<store::Event> events, store::Revision revision) = 0;
};

class Follower final : private store::Watcher {
 public:
  // Begins at a state up to `history` revisions old, where the store still has it, so that the
  // target sees the changes since then too.
  Follower(store::Store& store, std::string prefix, size_t page_size, store::Revision history,
           FollowTarget& target);
  ~Follower() override;
  void Start();

  // The watch is there and has been since the last state was read.
  bool following() const;

 private:
  void Loop();
  // False: try again.
  bool ReadState(bool gap);
  absl::StatusOr<store::Revision> FirstRevision(bool gap);
  void Follow();
  void Sleep(Duration duration);

  void OnEvents(std::vector<store::Event> events, store::Revision revision) override;
  void OnEnd(const absl::Status& why) override;

  store::Store& store_;
  const std::string prefix_, end_;
  const size_t page_size_;
  const store::Revision history_;
  FollowTarget& target_;

  store::Revision next_ = 0;  // written while no watch runs, or by the watch's thread
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  bool following_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status why_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace meltemi::apiserver
